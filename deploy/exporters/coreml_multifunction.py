"""Many Core ML packages merged into one, a function each (iOS 18 and later).

One file to copy in place of many. Weights that are equal are stored once: the
programs of an operator together take hardly more than its longest chain, whose
first copies are those of the shorter ones (`deploy.chains.modules`). Earlier
systems take a folder of packages instead.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from deploy.coreml.check import check_interface
from deploy.coreml.interpreter import evaluate
from deploy.coreml.package import open_package, pack, unpack, unpacked_package
from deploy.coreml.program import Function, read_program
from deploy.coreml.same_function import differing_operation, same_values
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
    """Each function must be its package's: operation by operation, and in what it computes."""
    with unpacked_package(merged) as folder:
        open_package(folder)
        program = read_program(folder)
    if set(program.functions) != set(packages):
        raise ExportError(f"The merged package holds {sorted(program.functions)}.")
    check_interface(program)
    for name, content in packages.items():
        with unpacked_package(content) as folder:
            (alone,) = read_program(folder).functions.values()
        function = program.functions[name]
        difference = differing_operation(alone, function)
        if difference is not None:
            raise ExportError(
                f"The merged package holds another function {name}: {difference} differs."
            )
        example = _example(alone)
        if not same_values(evaluate(alone, *example), evaluate(function, *example)):
            raise ExportError(f"The merged function {name} computes something else.")


def _example(function: Function) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(kind.shape, generator=generator) * 2 - 1 for _, kind in function.inputs)
