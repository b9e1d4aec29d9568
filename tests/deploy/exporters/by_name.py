"""An exporter that does what its spec's name says; child processes import it."""

import os

from deploy.artefact import ExportSpec
from deploy.exporters.base import ExportedFile
from search.errors import ExportError


class ByName:
    """Fails, dies or works, and remembers nothing."""

    def build(self, spec: ExportSpec) -> ExportedFile:
        if spec.name.startswith("refuses"):
            raise ExportError("No kernel for this.", "Choose another.")
        if spec.name.startswith("errs"):
            raise ZeroDivisionError("by nought")
        if spec.name.startswith("dies"):
            os._exit(9)
        return ExportedFile(content=spec.name.encode(), relative_error=0.25)
