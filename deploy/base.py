"""What every exporter promises."""

from typing import Protocol

from torch import Tensor, nn


class Exporter(Protocol):
    """Turns a module into the bytes of one file, and can run such bytes here.

    `export` gets a module in eval mode with batch norm folded, an example
    input in the memory order the file shall expect, and must leave the module
    as it was. `run` evaluates a file on this machine with the same runtime
    that will be timed, or an interpreter of it: the check of every artefact.
    """

    name: str
    suffix: str

    def export(self, module: nn.Module, example: Tensor) -> bytes:
        """The file's content.

        Raises:
            ExportError: The module cannot be expressed for this runtime.
        """
        ...

    def run(self, content: bytes, example: Tensor) -> Tensor:
        """The file's output for this input."""
        ...
