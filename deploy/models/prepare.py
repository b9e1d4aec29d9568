"""A named model becomes a checked file for a backend, with calls to compare a device on."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.artefact import Artefact, cached_path, find_artefact, store
from deploy.exporters.error_limits import ErrorLimit, deployment_limit
from deploy.exporters.quiet import quiet
from deploy.models.difference import largest_difference
from deploy.models.routes import BACKENDS, check_route, is_coreml, model_dtype
from deploy.models.source import ModelSource
from deploy.models.tensors import Array, Case, TensorSpec, random_values, read_values
from search.errors import ExportError, UsageError
from search.files import sha256_bytes, sha256_file

if TYPE_CHECKING:
    from deploy.models.program import TorchModel

_PACKAGES = {
    ".pte": ("torch", "executorch"),
    ".onnx": ("torch", "onnx", "onnxscript"),
    ".mlpackage": ("torch", "coremltools"),
}
_SOURCES = ("lower", "program", "prepare", "coreml_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What a user says about a model beside its name.

    `shapes` fix dimensions that are open (`parse_shapes`); `inputs` is a .npz file of real
    inputs, and without it `cases` seeded ones are drawn. `dtype` is the number format of a Core ML
    package (None: the backend's own), `target` the oldest system that is to load it.
    """

    shapes: Mapping[str, tuple[int, ...]]
    inputs: Path | None = None
    cases: int = 4
    seed: int = 0
    dtype: str | None = None
    target: str = "iOS16"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnModel:
    """A model ready for a device.

    `inputs` and `outputs` are those of the file. `reference` says by whom the expected
    outputs are, `outside` counts operators that are not delegated, `delegates` the
    delegated parts.
    """

    name: str
    source: ModelSource
    backend: str
    artefact: Artefact
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    cases: tuple[Case, ...]
    reference: str
    limit: ErrorLimit
    outside: Mapping[str, int] = field(default_factory=dict)
    delegates: int = 0
    planned_bytes: int | None = None
    notes: tuple[str, ...] = ()
    dtype: str = "fp32"

    @property
    def wire_inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs as a runner takes them from files."""
        return self._on_wire(self.inputs)

    @property
    def wire_outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs as a runner writes them to files."""
        return self._on_wire(self.outputs)

    def _on_wire(self, specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        """The app on an iPhone takes and gives 32-bit floats, whatever the package holds."""
        if not is_coreml(self.backend):
            return specs
        return tuple(replace(spec, dtype="float32") for spec in specs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _File:
    """A file before it is stored, and what it answered to the first case."""

    content: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    actual: tuple[Array, ...]
    outside: Mapping[str, int] = field(default_factory=dict)
    delegates: int = 0
    planned_bytes: int | None = None


def prepare_model(source: ModelSource, backend: str, options: ModelOptions) -> OwnModel:
    """Read, export where it is needed, and compare the file with its source on this machine.

    Raises:
        UsageError: Bad input: the file, shapes or values.
        ExportError: There is no way to this backend, or the file computes something else.
    """
    check_route(source, backend)
    with quiet():
        if source.kind == "pte":
            return _from_pte(source, options)
        if source.kind == "onnx":
            return _from_onnx(source, options)
        return _from_torch(source, backend, options)


def _from_torch(source: ModelSource, backend: str, options: ModelOptions) -> OwnModel:
    from deploy.models.lower import to_onnx, to_pte
    from deploy.models.program import load_torch_model

    model = load_torch_model(source, options.shapes)
    if is_coreml(backend):
        return _as_package(source, backend, options, model)
    given = _values(model.inputs, options, model.values() if model.own_inputs else None)
    cases = tuple(Case(inputs=values, expected=model.answers(values)) for values in given)
    began, address = time.monotonic(), _address(source, backend, model.inputs)
    found = find_artefact(_place(backend, address)) if address else None
    if found is not None:
        content = found.path.read_bytes()
    else:
        content = to_pte(model) if backend == "xnnpack" else to_onnx(model)
    read = _read_pte if backend == "xnnpack" else _read_onnx_bytes
    file = read(source, content, cases, model.inputs)
    return _finished(source, backend, file, cases, "torch", address, began, options)


def _as_package(
    source: ModelSource, backend: str, options: ModelOptions, model: "TorchModel"
) -> OwnModel:
    """A Core ML package, computed by the kit's interpreter on this machine."""
    from deploy.models import coreml_file

    dtype = model_dtype(backend, options.dtype)
    names = coreml_file.package_inputs(model, dtype)
    own = None
    if model.own_inputs:
        pairs = zip(model.values(), names, strict=True)
        own = tuple(value.astype(spec.dtype) for value, spec in pairs)
    began, address = time.monotonic(), _address(source, backend, names, options.target)
    found = find_artefact(_place(backend, address)) if address else None
    content = found.path.read_bytes() if found else b""
    content = content or coreml_file.to_package(model, dtype, options.target)
    function, inputs, outputs = coreml_file.read_package(content)
    if inputs != names:
        raise ExportError(f"The package converted from {source.text} takes other inputs.")
    cases = tuple(
        Case(inputs=values, expected=_in_formats(model, values, outputs))
        for values in _values(names, options, own)
    )
    actual = coreml_file.run_package(function, outputs, cases[0].inputs)
    file = _File(content=content, inputs=inputs, outputs=outputs, actual=actual)
    made = _finished(source, backend, file, cases, "torch", address, began, options)
    return replace(made, dtype=dtype)


def _in_formats(
    model: "TorchModel", values: Sequence[Array], outputs: Sequence[TensorSpec]
) -> tuple[Array, ...]:
    """torch's answers, with integers and truth values of 32 bits as the package has them."""
    own = [value.astype(s.dtype) for value, s in zip(values, model.inputs, strict=True)]
    answers = model.answers(own)
    return tuple(
        value if value.dtype.kind == "f" else value.astype(spec.dtype)
        for value, spec in zip(answers, outputs, strict=True)
    )


def _from_pte(source: ModelSource, options: ModelOptions) -> OwnModel:
    from deploy.models.lower import run_pte
    from deploy.models.pte_file import read_program_facts

    if options.shapes:
        raise UsageError(
            f"{source.path} is lowered for fixed shapes; --shape cannot change them.",
            "Export the model for that shape.",
        )
    content = source.path.read_bytes()
    facts = read_program_facts(content, source.text)
    given = _values(facts.inputs, options)
    cases = tuple(
        Case(inputs=values, expected=run_pte(content, facts.inputs, values)) for values in given
    )
    file = _read_pte(source, content, cases, facts.inputs)
    reference = "ExecuTorch's Python runtime on this computer"
    return _finished(source, "xnnpack", file, cases, reference, None, time.monotonic(), options)


def _from_onnx(source: ModelSource, options: ModelOptions) -> OwnModel:
    from deploy.models.onnx_file import open_session, read_onnx, session_answers

    began = time.monotonic()
    content, specs = read_onnx(source.path, options.shapes)
    plain = open_session(content, optimised=False)
    cases = tuple(
        Case(inputs=values, expected=session_answers(plain, specs, values))
        for values in _values(specs, options)
    )
    file = _read_onnx_bytes(source, content, cases, specs)
    reference = "ONNX Runtime without its optimisations"
    return _finished(source, "onnxruntime", file, cases, reference, None, began, options)


# --- files and what they answer


def _read_pte(
    source: ModelSource, content: bytes, cases: Sequence[Case], names: Sequence[TensorSpec]
) -> _File:
    from deploy.models.lower import run_pte
    from deploy.models.pte_file import read_program_facts

    facts = read_program_facts(content, source.text)
    if len(facts.inputs) != len(names):
        raise ExportError(f"The program lowered from {source.text} takes other inputs.")
    inputs = tuple(
        replace(one, name=name.name) for one, name in zip(facts.inputs, names, strict=True)
    )
    return _File(
        content=content,
        inputs=inputs,
        outputs=facts.outputs,
        actual=run_pte(content, inputs, cases[0].inputs),
        outside=facts.outside,
        delegates=sum(facts.delegates.values()),
        planned_bytes=facts.planned_bytes,
    )


def _read_onnx_bytes(
    source: ModelSource, content: bytes, cases: Sequence[Case], names: Sequence[TensorSpec]
) -> _File:
    from deploy.models.onnx_file import open_session, session_answers

    session = open_session(content, optimised=True)
    known = {spec.name: spec for spec in names}
    wanted = [one.name for one in session.get_inputs()]
    if wanted != [spec.name for spec in names]:
        raise ExportError(
            f"The ONNX file of {source.text} takes the inputs {', '.join(wanted)}, the model "
            f"{', '.join(known)}.",
            "Remove inputs that the model does not use.",
        )
    actual = session_answers(session, names, cases[0].inputs)
    outputs = tuple(
        TensorSpec(name=one.name, shape=value.shape, dtype=str(value.dtype))
        for one, value in zip(session.get_outputs(), actual, strict=True)
    )
    return _File(content=content, inputs=tuple(names), outputs=outputs, actual=actual)


def _finished(
    source: ModelSource,
    backend: str,
    file: _File,
    cases: tuple[Case, ...],
    reference: str,
    address: str | None,
    began: float,
    options: ModelOptions,
) -> OwnModel:
    limit = _limit((*file.inputs, *file.outputs))
    error = largest_difference(file.actual, cases[0].expected)
    if not error <= limit.value:
        raise ExportError(
            f"The file computes something else than {source.text}: error {error:.2g}, allowed "
            f"{limit.value:g}.",
            "Give valid inputs with --inputs FILE.npz; if they are, report this model with the "
            "versions of torch and the exporter.",
        )
    artefact = store(
        _place(backend, address or sha256_bytes(file.content)[:32]),
        file.content,
        exporter=f"own-{backend}",
        operator_keys=[],
        toolchain=_versions(backend),
        relative_error=error,
        build_seconds=time.monotonic() - began,
    )
    return OwnModel(
        name=source.name,
        source=source,
        backend=backend,
        artefact=artefact,
        inputs=file.inputs,
        outputs=file.outputs,
        cases=cases,
        reference=reference,
        limit=limit,
        outside=file.outside,
        delegates=file.delegates,
        planned_bytes=file.planned_bytes,
        notes=_notes(source, file, options),
    )


def _notes(source: ModelSource, file: _File, options: ModelOptions) -> tuple[str, ...]:
    notes = []
    if source.kind == "factory":
        notes.append(f"{source.path} was executed on this computer to make the model")
    if options.inputs is None and any(not s.dtype.startswith("float") for s in file.inputs):
        notes.append("integer inputs are the model's example, or 0 and 1: real ones by --inputs")
    return tuple(notes)


def _limit(specs: Sequence[TensorSpec]) -> ErrorLimit:
    half = any(spec.dtype == "float16" for spec in specs)
    return deployment_limit("fp16" if half else "fp32")


def _values(
    specs: Sequence[TensorSpec], options: ModelOptions, own: tuple[Array, ...] | None = None
) -> list[tuple[Array, ...]]:
    """Given inputs; or the model's own where random integers may be no valid input; or seeded."""
    if options.inputs is not None:
        return read_values(options.inputs, specs)
    if own is not None and any(not spec.dtype.startswith("float") for spec in specs):
        return [own]
    return [random_values(specs, options.seed + number) for number in range(options.cases)]


# --- the cache


def _place(backend: str, address: str) -> Path:
    return cached_path(f"own-{backend}", BACKENDS[backend], address)


def _address(
    source: ModelSource, backend: str, inputs: Sequence[TensorSpec], target: str = ""
) -> str | None:
    """What decides the file's content; None for a factory, which may return anything each time."""
    if source.kind != "pt2":
        return None
    content: dict[str, Any] = {
        "source": sha256_file(source.path),
        "inputs": [spec.words for spec in inputs],
        "backend": backend,
        "toolchain": _versions(backend),
    }
    if target:
        content["target"] = target
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _versions(backend: str) -> dict[str, str]:
    folder = Path(__file__).parent
    sources = b"\0".join((folder / f"{name}.py").read_bytes() for name in _SOURCES)
    tools = {name: version(name) for name in _PACKAGES[BACKENDS[backend]]}
    return {**tools, "kit": sha256_bytes(sources)[:16]}
