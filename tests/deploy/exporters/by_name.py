"""An exporter that does what its subject's name says; child processes import it."""

import os

from deploy.artefact import Subject
from deploy.exporters.base import Draft
from search.errors import ExportError


class ByName:
    """Fails, dies or works, and remembers nothing."""

    def build(self, subject: Subject) -> Draft:
        if subject.name.startswith("refuses"):
            raise ExportError("No kernel for this.", "Choose another.")
        if subject.name.startswith("errs"):
            raise ZeroDivisionError("by nought")
        if subject.name.startswith("dies"):
            os._exit(9)
        return Draft(content=subject.name.encode(), relative_error=0.25)
