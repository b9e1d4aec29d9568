"""Torch models: a `.pt2` file or a factory becomes an exported program of fixed shapes."""

import importlib.util
import inspect
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deploy.exporters.quiet import quiet
from deploy.models.archive import checked_archive
from deploy.models.source import ModelSource
from deploy.models.tensors import Array, TensorSpec, pin_shapes
from search.errors import ExportError, UsageError

_NUMPY = {
    getattr(torch, name): name
    for name in (
        *("float32", "float16", "float64", "bool"),
        *("int8", "int16", "int32", "int64", "uint8"),
    )
}
_LONGEST = 300


@dataclass(frozen=True, slots=True, eq=False)
class TorchModel:
    """An exported program of fixed shapes, its tensor inputs, and torch's own answers.

    `flat` are its inputs in the order of the program, tensors and fixed values;
    `own_inputs` whether they came with the model.
    """

    program: torch.export.ExportedProgram
    inputs: tuple[TensorSpec, ...]
    flat: tuple[Any, ...]
    own_inputs: bool

    def answers(self, values: Sequence[Array]) -> tuple[Array, ...]:
        """What torch computes for these inputs, a value for each tensor that comes out."""
        waiting = iter(values)
        flat = [
            torch.from_numpy(np.ascontiguousarray(next(waiting))) if isinstance(x, Tensor) else x
            for x in self.flat
        ]
        args, kwargs = torch.utils._pytree.tree_unflatten(flat, self.program.call_spec.in_spec)
        with torch.no_grad(), quiet():
            out = self.program.module(check_guards=False)(*args, **kwargs)
        leaves = torch.utils._pytree.tree_leaves(out)
        return tuple(leaf.numpy() for leaf in leaves if isinstance(leaf, Tensor))

    def values(self) -> tuple[Array, ...]:
        """The example inputs."""
        return tuple(x.detach().numpy() for x in self.flat if isinstance(x, Tensor))


def load_torch_model(source: ModelSource, shapes: Mapping[str, tuple[int, ...]]) -> TorchModel:
    """A model of torch, exported for these shapes.

    Raises:
        UsageError: The file is no exported program, or shapes are not known.
        ExportError: torch.export does not take the model.
    """
    with quiet():
        if source.kind == "pt2":
            return _pinned(_load(source.path), shapes)
        return _from_factory(source, shapes)


class _Named(nn.Module):
    """A model whose weights' names begin with a letter."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)


def with_letters_first(model: TorchModel) -> torch.export.ExportedProgram:
    """The program, exported once more if names of weights begin with a digit.

    Those of a `Sequential` do, and ExecuTorch 1.4's fusion of batch norm loses them.
    """
    program = model.program
    if not any(name[:1].isdigit() for name in program.state_dict):
        return program
    args, kwargs = torch.utils._pytree.tree_unflatten(list(model.flat), program.call_spec.in_spec)
    return _exported(_Named(program.module(check_guards=False)), args, kwargs)


# --- .pt2


def _load(path: Path) -> torch.export.ExportedProgram:
    content = checked_archive(path)
    try:
        program = torch.export.load(io.BytesIO(content))
    except Exception as error:  # of any kind, from deep inside
        raise UsageError(
            f"{path} cannot be read by torch {torch.__version__}: {_first_line(error)}.",
            "Export it with this version of torch.",
        ) from error
    # Guards are Python that torch would execute; shapes are checked here instead.
    program._guards_code = []
    return program


def _pinned(
    program: torch.export.ExportedProgram, shapes: Mapping[str, tuple[int, ...]]
) -> TorchModel:
    """The program for fixed shapes, exported once more where they were not."""
    names = program.graph_signature.user_inputs
    fakes = {n.name: n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder"}
    values = [fakes.get(name) if isinstance(name, str) else name for name in names]
    specs = [
        _spec(str(name), value)
        for name, value in zip(names, values, strict=True)
        if isinstance(value, Tensor)
    ]
    pinned = pin_shapes(specs, shapes)
    _check_ranges(program, specs, pinned)
    own = _own_flat(program, pinned)
    waiting = iter(pinned)
    flat = own or tuple(
        _example(next(waiting)) if isinstance(value, Tensor) else _constant(value)
        for value in values
    )
    if any(not spec.is_static for spec in specs):
        args, kwargs = torch.utils._pytree.tree_unflatten(list(flat), program.call_spec.in_spec)
        program = _exported(program.module(check_guards=False), args, kwargs)
    return TorchModel(program, pinned, flat, own_inputs=own is not None)


def _check_ranges(
    program: torch.export.ExportedProgram,
    specs: Sequence[TensorSpec],
    pinned: Sequence[TensorSpec],
) -> None:
    """Refuse sizes that the program was not exported for."""
    ranges = {str(symbol): bounds for symbol, bounds in program.range_constraints.items()}
    for spec, chosen in zip(specs, pinned, strict=True):
        for size, number in zip(spec.shape, chosen.sizes, strict=True):
            bounds = ranges.get(str(size))
            if bounds is not None and not bounds.lower <= number <= bounds.upper:
                raise UsageError(
                    f"The input {spec.name} was exported for a size between {bounds.lower} and "
                    f"{bounds.upper}, not for {number}.",
                    "Choose another --shape, or export the model for that size.",
                )


def _own_flat(
    program: torch.export.ExportedProgram, specs: Sequence[TensorSpec]
) -> tuple[Any, ...] | None:
    """The example inputs in the file, where they are of these shapes."""
    if program.example_inputs is None:
        return None
    leaves = tuple(torch.utils._pytree.tree_leaves(program.example_inputs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    alike = len(tensors) == len(specs) and all(
        tuple(x.shape) == spec.sizes for x, spec in zip(tensors, specs, strict=True)
    )
    return leaves if alike and len(leaves) == len(program.graph_signature.user_inputs) else None


def _constant(value: Any) -> Any:
    if value is None or isinstance(value, int | float | bool | str):
        return value
    raise UsageError(
        f"The model takes an input of the kind {type(value).__name__}, which no runner has.",
        "Export it with tensors as inputs.",
    )


def _spec(name: str, value: Tensor) -> TensorSpec:
    if value.dtype not in _NUMPY:
        raise UsageError(
            f"The input {name} is {value.dtype}, which no runner can hand on.",
            f"Export the model with one of {', '.join(_NUMPY.values())}.",
        )
    shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
    return TensorSpec(name=name, shape=shape, dtype=_NUMPY[value.dtype])


def _example(spec: TensorSpec) -> Tensor:
    dtype = getattr(torch, spec.dtype)
    if dtype.is_floating_point:
        return torch.zeros(spec.sizes, dtype=dtype)
    return torch.zeros(spec.sizes, dtype=dtype)


# --- a factory


def _from_factory(source: ModelSource, shapes: Mapping[str, tuple[int, ...]]) -> TorchModel:
    made = _call(source)
    model, given = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"{source.text} returned {type(made).__name__}, not a model.",
            "Return a torch.nn.Module, or the pair (module, example inputs).",
        )
    args, kwargs = _arguments(source, model.eval(), given, shapes)
    program = _exported(model, args, kwargs)
    return _pinned(program, {name: shape for name, shape in shapes.items() if given is not None})


def _call(source: ModelSource) -> Any:
    """What the factory returns: this executes the user's file, as the user asked for by name."""
    spec = importlib.util.spec_from_file_location(f"_own_{source.path.stem}", source.path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    folder = str(source.path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
        factory = getattr(module, source.factory, None)
        if not callable(factory):
            raise UsageError(f"{source.path} has no function {source.factory}.")
        return factory()
    except UsageError:
        raise
    except Exception as error:  # the user's own code
        raise UsageError(
            f"{source.text} failed: {type(error).__name__}: {_first_line(error)}.",
            "It is called without arguments.",
        ) from error
    finally:
        sys.path.remove(folder)


def _arguments(
    source: ModelSource, model: nn.Module, given: Any, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Example inputs: those that came with the model, or floats of the shapes asked for."""
    if isinstance(given, dict):
        return (), given
    if given is not None:
        return (tuple(given) if isinstance(given, tuple | list) else (given,)), {}
    names = list(inspect.signature(model.forward).parameters)
    if not shapes:
        example = "1x3x224x224" if len(names) == 1 else f"{names[0]}=1x3x224x224" if names else ""
        raise UsageError(
            f"{source.text} returned a model without example inputs.",
            f"Give their shapes (--shape {example}), or return (model, inputs).",
        )
    if "" in shapes and len(shapes) == 1:
        return (torch.zeros(shapes[""]),), {}
    unknown = [name for name in shapes if name not in names]
    if unknown:
        raise UsageError(
            f"The model has no input {unknown[0]!r}.", f"Its inputs: {', '.join(names)}."
        )
    return (), {name: torch.zeros(shapes[name]) for name in names if name in shapes}


def _exported(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> torch.export.ExportedProgram:
    try:
        with torch.no_grad():
            program = torch.export.export(model, args, kwargs or None, strict=False)
    except Exception as error:  # of any kind, from deep inside
        raise ExportError(
            f"torch.export does not take the model: {_first_line(error)}.",
            "Make its code free of branches on values (torch.export's documentation says how), "
            "or fix the shapes.",
        ) from error
    program._guards_code = []
    return program


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:_LONGEST].rstrip(".")
