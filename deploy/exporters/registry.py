"""Exporters by backend and dtype; a module is imported only when chosen."""

import sys
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from deploy.exporters.base import Exporter
from deploy.exporters.error_limits import COREML, ONNX_FP32, XNNPACK_FP32, XNNPACK_INT8, ErrorLimit
from search.errors import ExportError, UsageError
from search.files import sha256_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterEntry:
    """An exporter's module and class, and everything else that shapes its files.

    `packages` and the sources named here are part of every artefact's
    address, so that an update never reuses a file of another toolchain. An
    exporter without packages is light: it runs in the caller's process.
    `sources` are further modules of the kit that shape its files; `options`
    and `error_limit` (None: exact by definition) go to its constructor;
    `extra` is the extra of the kit that must be installed.
    `tasks_per_process` bounds how much memory a builder's tools gather.
    """

    name: str
    suffix: str
    target: str
    packages: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    error_limit: ErrorLimit | None = None
    extra: str = "profile"
    # The tools keep some 20 MB of every network they have lowered.
    tasks_per_process: int = 50


_ET = ("torch", "executorch")
# Packages without a release for every Python that the kit runs on.
_NEWEST_PYTHON = {"coremltools": (3, 13)}
# Core ML's compute units. A unit is part of the backend's name, and so of a
# table's identity; "all" leaves the choice to the system and is for deployment
# alone.
COMPUTE_UNITS = ("cpu_and_ne", "cpu_only", "cpu_and_gpu")
_CHAINS = ("deploy.chains.modules", "deploy.chains.programs", "deploy.chains.operations")
_COREML_SOURCES = tuple(
    f"deploy.coreml.{name}" for name in ("program", "interpreter", "check", "weights")
)
_COREML = {
    dtype: ExporterEntry(
        name=f"coreml-{dtype}",
        suffix=".mlpackage",
        target=f"deploy.exporters.coreml:Coreml{dtype.capitalize()}",
        packages=("torch", "coremltools"),
        sources=(*_CHAINS, "deploy.coreml.package", *_COREML_SOURCES),
        extra="iphone",
        error_limit=limit,
        # Each start costs 10 s and more; single operators leave little memory in use.
        tasks_per_process=300,
    )
    for dtype, limit in COREML.items()
}
_XNNPACK_SOURCES = tuple(
    f"deploy.xnnpack.{name}"
    for name in (
        "nodes",
        "record",
        "quantise",
        "arrange",
        "constants",
        "delegate",
        "flatbuffer",
        "program",
        "write",
    )
)
# What is written, not lowered, leaves nothing in memory.
_WRITTEN_TASKS = 1000
_ENTRIES: dict[tuple[str, str], ExporterEntry] = {
    ("xnnpack", "fp32"): ExporterEntry(
        name="xnnpack-fp32",
        suffix=".pte",
        target="deploy.exporters.executorch:XnnpackFp32",
        packages=_ET,
        sources=_XNNPACK_SOURCES,
        error_limit=XNNPACK_FP32,
        tasks_per_process=_WRITTEN_TASKS,
    ),
    ("xnnpack", "int8"): ExporterEntry(
        name="xnnpack-int8",
        suffix=".pte",
        target="deploy.exporters.executorch:XnnpackInt8",
        packages=(*_ET, "torchao"),
        sources=_XNNPACK_SOURCES,
        error_limit=XNNPACK_INT8,
        tasks_per_process=_WRITTEN_TASKS,
    ),
    ("onnxruntime", "fp32"): ExporterEntry(
        name="onnx-fp32",
        suffix=".onnx",
        target="deploy.exporters.onnx:OnnxFp32",
        packages=("torch", "onnx", "onnxscript"),
        error_limit=ONNX_FP32,
    ),
    **{
        (backend, dtype): entry
        for backend in ("coreml", *(f"coreml-{unit}" for unit in COMPUTE_UNITS))
        for dtype, entry in _COREML.items()
    },
    ("coreml-delegate", "fp16"): ExporterEntry(
        name="coreml-delegate-fp16",
        suffix=".pte",
        target="deploy.exporters.coreml_delegate:DelegateFp16",
        packages=(*_ET, "coremltools"),
        sources=("deploy.exporters.coreml", *_COREML_SOURCES),
        extra="iphone",
        error_limit=COREML["fp16"],
    ),
    **{
        ("simulated", dtype): ExporterEntry(
            name="simulated", suffix=".json", target="deploy.exporters.simulated:SimulatedExporter"
        )
        for dtype in ("fp32", "int8", "fp16")
    },
}


def register(backend: str, dtype: str, entry: ExporterEntry) -> None:
    """Add an exporter.

    Raises:
        UsageError: The pair is taken.
    """
    if (backend, dtype) in _ENTRIES:
        raise UsageError(f"An exporter for {backend} {dtype} is registered already.")
    _ENTRIES[backend, dtype] = entry


def backends() -> tuple[str, ...]:
    """Known backends, in the order in which they were registered."""
    return tuple(dict.fromkeys(backend for backend, _ in _ENTRIES))


def exporter_entry(backend: str, dtype: str) -> ExporterEntry:
    """The entry for a backend and dtype; imports nothing heavy.

    Raises:
        UsageError: Unknown backend, or a dtype that it does not have; lists the known ones.
    """
    if backend not in backends():
        raise UsageError(f"Unknown backend {backend!r}.", f"Known: {', '.join(backends())}.")
    if (backend, dtype) not in _ENTRIES:
        dtypes = ", ".join(known for name, known in _ENTRIES if name == backend)
        raise UsageError(
            f"The backend {backend} has no exporter for {dtype!r}.", f"It knows {dtypes}."
        )
    return _ENTRIES[backend, dtype]


def default_dtype(backend: str) -> str:
    """The number format that a backend takes by default.

    Raises:
        UsageError: Unknown backend.
    """
    for name, dtype in _ENTRIES:
        if name == backend:
            return dtype
    raise UsageError(f"Unknown backend {backend!r}.", f"Known: {', '.join(backends())}.")


def with_deployment_target(entry: ExporterEntry, target: str | None) -> ExporterEntry:
    """The entry with another deployment target, such as iOS18; None changes nothing.

    Raises:
        UsageError: Its files are not made for a system.
    """
    if target is None:
        return entry
    if not entry.name.startswith("coreml-"):
        raise UsageError(f"{entry.name} files have no deployment target.", "Leave it out.")
    return replace(entry, name=f"{entry.name}-{target.lower()}", options=(("target", target),))


def make_exporter(entry: ExporterEntry) -> Exporter:
    """Import and create an exporter."""
    module, _, name = entry.target.partition(":")
    limit = {} if entry.error_limit is None else {"limit": entry.error_limit}
    exporter: Exporter = getattr(import_module(module), name)(**limit, **dict(entry.options))
    return exporter


def _until(package: str) -> str:
    """The Pythons that a package is made for, where this one is too new for it."""
    newest = _NEWEST_PYTHON.get(package)
    if newest is None or sys.version_info[:2] <= newest:
        return ""
    return f", on Python {newest[0]}.{newest[1]} or older: it has no release for this one"


def toolchain(entry: ExporterEntry) -> dict[str, str]:
    """Versions of everything that shapes a file: packages, the kit's sources, the error limit.

    Raises:
        ExportError: A package is not installed.
    """
    try:
        versions = {name: version(name) for name in entry.packages}
    except PackageNotFoundError as error:
        raise ExportError(
            f"{entry.name} needs the package {error.name}, which is not installed.",
            f"Install the kit with its {entry.extra!r} extra{_until(error.name)}.",
        ) from error
    root = Path(__file__).parents[2]
    shared = ("search.operators.modules", "deploy.network", "deploy.exporters.verify")
    own = (*shared, entry.target.partition(":")[0], *entry.sources)
    sources = [root / f"{name.replace('.', '/')}.py" for name in own]
    contents = [*(path.read_bytes() for path in sources), repr(entry.error_limit).encode()]
    return {**versions, "kit": sha256_bytes(b"\0".join(contents))[:16]}
