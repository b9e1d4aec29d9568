"""An exporter that does what its subject's name says; child processes import it."""

import os

from deploy.artefact import ExportSpec
from deploy.exporters.base import ExportedFile
from search.errors import ExportError


class ByName:
    """Fails, dies or works, and remembers nothing."""

    def build(self, subject: ExportSpec) -> ExportedFile:
        if subject.name.startswith("refuses"):
            raise ExportError("No kernel for this.", "Choose another.")
        if subject.name.startswith("errs"):
            raise ZeroDivisionError("by nought")
        if subject.name.startswith("dies"):
            os._exit(9)
        return ExportedFile(content=subject.name.encode(), relative_error=0.25)
