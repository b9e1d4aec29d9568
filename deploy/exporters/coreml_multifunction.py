"""Many Core ML packages merged into one, a function each (iOS 18 and later).

One file to copy in place of many. Weights that are equal are stored once: the
programs of an operator together take hardly more than its longest chain, whose
first copies are those of the shorter ones (`deploy.chains.modules`). Earlier
systems take a folder of packages instead.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from deploy.coreml.package import pack, unpack, unpacked_package
from deploy.coreml.program import Function, Program, read_program
from deploy.exporters.quiet import quiet
from search.errors import ExportError

OLDEST_SYSTEM = "iOS18"


def merge(packages: Mapping[str, bytes]) -> bytes:
    """One package with each of these as the function of its name.

    Raises:
        ExportError: They cannot be merged, or a function is not what its
            package was.
    """
    from coremltools.models.utils import MultiFunctionDescriptor, save_multifunction

    with tempfile.TemporaryDirectory(prefix="kit-merge-") as temporary:
        folder = Path(temporary)
        description = MultiFunctionDescriptor()
        for number, (name, content) in enumerate(packages.items()):
            unpack(content, folder / f"{number}.mlpackage")
            description.add_function(str(folder / f"{number}.mlpackage"), "main", name)
        description.default_function_name = next(iter(packages))
        try:
            with quiet():
                save_multifunction(description, str(folder / "all.mlpackage"))
        except Exception as error:
            raise ExportError(f"The packages cannot be merged: {error}") from error
        merged = pack(folder / "all.mlpackage")
    _check(merged, packages)
    return merged


def _check(merged: bytes, packages: Mapping[str, bytes]) -> None:
    """Each function must be its package's, operation by operation."""
    program = _read(merged)
    if set(program.functions) != set(packages):
        raise ExportError(f"The merged package holds {sorted(program.functions)}.")
    for name, content in packages.items():
        (alone,) = _read(content).functions.values()
        if _shape(alone) != _shape(program.functions[name]):
            raise ExportError(f"The merged package holds another function {name}.")


def _read(content: bytes) -> Program:
    with unpacked_package(content) as folder:
        return read_program(folder)


def _shape(function: Function) -> list[tuple[object, ...]]:
    return [(op.kind, tuple(kind for _, kind in op.outputs)) for op in function.operations]
