"""Exporter protocol, the file that an exporter returns, and its error limit."""

from dataclasses import dataclass
from typing import Protocol

from deploy.artefact import ExportSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """The content of a file that passed its check, and its relative error against torch."""

    content: bytes
    relative_error: float


class Exporter(Protocol):
    """Turns an export spec into the bytes of one checked file.

    The check runs the bytes on this machine, with the runtime that will be
    timed or an interpreter of it, against the torch module.
    """

    def build(self, spec: ExportSpec) -> ExportedFile:
        """The file's content and its error against torch.

        Raises:
            ExportError: The operators cannot be expressed for this runtime,
                or the file computes something else.
        """
        ...
