"""Exporters by backend and dtype; a module is imported only when chosen."""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from search.errors import ExportError, UsageError
from search.files import sha256_bytes

if TYPE_CHECKING:
    from deploy.base import Exporter


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterEntry:
    """Where an exporter is, and what shapes its files besides the module.

    `packages` and the sources named here are part of every artefact's
    address, so that an update never reuses a file of another toolchain. An
    exporter without packages is light: it runs in the caller's process.
    """

    name: str
    suffix: str
    target: str
    packages: tuple[str, ...] = ()


_ET = ("torch", "executorch")
_ENTRIES: dict[tuple[str, str], ExporterEntry] = {
    ("xnnpack", "fp32"): ExporterEntry(
        name="xnnpack-fp32", suffix=".pte", target="deploy.executorch:XnnpackFp32", packages=_ET
    ),
    ("xnnpack", "int8"): ExporterEntry(
        name="xnnpack-int8",
        suffix=".pte",
        target="deploy.executorch:XnnpackInt8",
        packages=(*_ET, "torchao"),
    ),
    ("onnxruntime", "fp32"): ExporterEntry(
        name="onnx-fp32",
        suffix=".onnx",
        target="deploy.onnx:OnnxFp32",
        packages=("torch", "onnx", "onnxscript"),
    ),
    ("simulated", "fp32"): ExporterEntry(
        name="simulated", suffix=".json", target="deploy.simulated:SimulatedExporter"
    ),
    ("simulated", "int8"): ExporterEntry(
        name="simulated", suffix=".json", target="deploy.simulated:SimulatedExporter"
    ),
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
    """Known backends."""
    return tuple(dict.fromkeys(backend for backend, _ in _ENTRIES))


def exporter_entry(backend: str, dtype: str) -> ExporterEntry:
    """The entry for a backend and dtype; imports nothing heavy.

    Raises:
        UsageError: Unknown backend, or a dtype that it has not; names the known.
    """
    if backend not in backends():
        raise UsageError(f"Unknown backend {backend!r}.", f"Known: {', '.join(backends())}.")
    if (backend, dtype) not in _ENTRIES:
        dtypes = ", ".join(known for name, known in _ENTRIES if name == backend)
        raise UsageError(
            f"The backend {backend} has no exporter for {dtype!r}.", f"It knows {dtypes}."
        )
    return _ENTRIES[backend, dtype]


def make_exporter(entry: ExporterEntry) -> "Exporter":
    """Import and create an exporter."""
    module, _, name = entry.target.partition(":")
    exporter: Exporter = getattr(import_module(module), name)()
    return exporter


def toolchain(entry: ExporterEntry) -> dict[str, str]:
    """Versions of the packages and of the kit's sources that shape a file.

    Raises:
        ExportError: A package is not installed.
    """
    try:
        versions = {name: version(name) for name in entry.packages}
    except PackageNotFoundError as error:
        raise ExportError(
            f"{entry.name} needs the package {error.name}, which is not installed.",
            "Install the kit with its 'profile' extra.",
        ) from error
    root = Path(__file__).parent.parent
    own = ("search.blocks", "deploy.network", "deploy.checked", entry.target.partition(":")[0])
    sources = [root / f"{name.replace('.', '/')}.py" for name in own]
    revision = sha256_bytes(b"\0".join(path.read_bytes() for path in sources))[:16]
    return {**versions, "kit": revision}
