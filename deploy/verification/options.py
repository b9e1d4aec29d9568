"""The options of a deployment, and the rules between them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from deploy.exporters.registry import COMPUTE_UNITS
from deploy.verification.device_side import DeviceOptions
from deploy.verification.sustained import sustained_seconds
from search.console.app import FORMATS
from search.errors import UsageError
from search.table.store import read_manifest

# Which backends read a file format; the first unless told otherwise.
EXPORT_FORMATS = {
    "pte": ("xnnpack", "coreml-delegate"),
    "onnx": ("onnxruntime",),
    "mlpackage": ("coreml", *(f"coreml-{unit}" for unit in COMPUTE_UNITS)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployOptions:
    """The options as typed; None leaves a value to the device, the network or the file format."""

    net: str
    device: str | None
    serial: str | None
    adb_server: str | None
    connect: str | None
    export_format: str | None
    output: Path | None
    dtype: str | None
    backend: str | None
    deployment_target: str | None
    weights: Path | None
    data: str | None
    train_folder: str | None
    val_folder: str | None
    images: int | None
    calibration: int
    seed: int
    table: Path | None
    tables: Path
    target_ms: float | None
    threads: int | None
    affinity: str
    runner: str
    runtime: str
    fast: bool
    rigorous: bool
    timeout_s: float
    quiet: bool
    shape: tuple[str, ...] = ()
    inputs: Path | None = None
    profile: bool = False
    bundle: Path | None = None
    labels: Path | None = None
    licence: str | None = None
    batch: int | None = None
    sustain: str | None = None

    @classmethod
    def of(cls, typed: Mapping[str, Any]) -> Self:
        """The options among the parameters of the command, by name."""
        values = {field.name: typed[field.name] for field in fields(cls)}
        return cls(**{**values, "shape": tuple(typed["shape"] or ())})

    @property
    def target_us(self) -> float | None:
        """Latency to be met, microseconds."""
        return None if self.target_ms is None else self.target_ms * 1e3

    @property
    def sustain_s(self) -> float | None:
        """How long the network is called without a pause, seconds.

        Raises:
            UsageError: No duration, or one that means nothing.
        """
        return None if self.sustain is None else sustained_seconds(self.sustain)

    @property
    def folder(self) -> Path | None:
        """Where the file goes, if anywhere."""
        return self.output or self.bundle

    @property
    def preset(self) -> str:
        """The name of the effort.

        Raises:
            UsageError: Two presets.
        """
        if self.fast and self.rigorous:
            raise UsageError("--fast and --rigorous exclude each other.")
        return "fast" if self.fast else "rigorous" if self.rigorous else "default"

    def device_options(self) -> DeviceOptions | None:
        """The device and how to start its runtime; None for an export alone.

        Raises:
            UsageError: Two presets.
        """
        if self.device is None:
            return None
        return DeviceOptions(
            name=self.device,
            serial=self.serial,
            adb_server=self.adb_server,
            connect=self.connect,
            backend=self.backend,
            threads=self.threads,
            affinity=self.affinity,
            runner=self.runner,
            runtime=self.runtime,
            timeout_s=self.timeout_s,
            preset=self.preset,
        )

    def check(self) -> None:
        """Refuse what options and named files show to be wrong, before any work.

        Raises:
            UsageError: Options that need or exclude others, or missing files.
            TableError: `--table` is not a table.
        """
        if self.device is None:
            self._check_export()
            if self.serial or self.adb_server or self.connect:
                raise UsageError(
                    "--serial, --adb-server and --connect reach a device.",
                    "Say which with --device.",
                )
        _ = self.sustain_s  # refused before any work
        if self.weights is not None and not self.weights.is_file():
            raise UsageError(f"There are no weights at {self.weights}.")
        if self.target_us is not None and not 0 < self.target_us < float("inf"):
            raise UsageError("--target-ms must be positive.")
        if self.data is None and (self.train_folder or self.val_folder):
            raise UsageError("--train-folder and --val-folder are folders in --data.")
        if self.table is not None:
            read_manifest(self.table)
        for folder in (self.output, self.bundle):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise UsageError(f"{folder} is not a folder.")
        if self.bundle is None and (self.labels is not None or self.licence is not None):
            raise UsageError("--labels and --licence go into a bundle: add --bundle FOLDER.")
        if self.labels is not None and not self.labels.is_file():
            raise UsageError(f"There are no labels at {self.labels}.")

    def _check_export(self) -> None:
        if self.export_format is None:
            raise UsageError(
                "Say where the network is to go.",
                "--device host verifies it there; --export-format pte -o FOLDER only exports it.",
            )
        if self.folder is None:
            raise UsageError("An export needs a folder to go to.", "Add -o FOLDER.")
        if self.target_ms is not None or self.table is not None:
            raise UsageError("--target-ms and --table need a device to be held against: --device.")
        if self.profile or self.sustain is not None:
            option = "--profile" if self.profile else "--sustain"
            raise UsageError(f"{option} needs a device to run on: --device.")

    def check_network(self) -> None:
        """Refuse what is for models of the user's own.

        Raises:
            UsageError: Shapes or inputs.
        """
        if self.shape or self.inputs is not None:
            raise UsageError(
                "--shape and --inputs are for models of your own (.pt2, .onnx, .pte, "
                "module.py:factory); a network of this kit has its shape, and images by --data.",
            )


def split_formats(
    export_format: str | None, output_format: str, older_output_format: str | None
) -> tuple[str | None, str]:
    """File format and output format of a command line in the present or the older spelling.

    Before --export-format, --format named the file's format and --output-format that of
    the output.

    Args:
        export_format: --export-format.
        output_format: --format.
        older_output_format: --output-format.

    Raises:
        UsageError: Neither an output format nor a file format.
    """
    if output_format in EXPORT_FORMATS:
        export_format, output_format = export_format or output_format, "table"
    output_format = older_output_format or output_format
    if output_format not in FORMATS:
        raise UsageError(
            f"Unknown --format {output_format!r}.",
            f"Known: {', '.join(FORMATS)}; --export-format knows {', '.join(EXPORT_FORMATS)}.",
        )
    return export_format, output_format


def backend_for(export_format: str, backend: str | None) -> str:
    """The backend that reads a file format: the one given, or the format's first.

    Raises:
        UsageError: Unknown format, or a backend that does not read it.
    """
    if export_format not in EXPORT_FORMATS:
        known = ", ".join(EXPORT_FORMATS)
        raise UsageError(f"Unknown --export-format {export_format!r}.", f"Known: {known}.")
    readers = EXPORT_FORMATS[export_format]
    if backend is not None and backend not in readers:
        raise UsageError(
            f"The backend {backend} reads no {export_format} files.",
            f"These do: {', '.join(readers)}.",
        )
    return backend or readers[0]
