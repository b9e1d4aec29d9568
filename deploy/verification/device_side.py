"""The protocol of the package that drives devices: requests, reports, `DeviceVerifier`.

Which devices there are and how they are driven is not known here; the package
installed under the entry point group `fbnet_kit.device_side` knows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from deploy.artefact import Artefact, ExportSpec
from deploy.models.prepare import OwnModel
from deploy.verification.breakdown import Footprint, MemoryPrediction, TimeProfile
from deploy.verification.machine import MachineNow, TodaysPrediction
from deploy.verification.sustained import Sustained, SustainedPrediction
from search.architecture import Architecture
from search.errors import UsageError

GROUP = "fbnet_kit.device_side"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """Images with the outputs that torch has for them.

    `images` is (N, 3, R, R), `expected` (N, classes); `labels` (N,) or None
    where accuracy means nothing (weights that were never trained).
    """

    images: Floats
    expected: Floats
    labels: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOptions:
    """A device by name and address, and how its runtime is to be started.

    None means the device's own. `serial`, `adb_server` and `connect` (HOST:PORT)
    choose one of several Android devices, and the way to it.
    """

    name: str
    serial: str | None = None
    adb_server: str | None = None
    connect: str | None = None
    backend: str | None = None
    threads: int | None = None
    affinity: str = "auto"
    runner: str = "auto"
    runtime: str = "auto"
    timeout_s: float = 120.0
    preset: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDefaults:
    """The backend and dtype of a device file."""

    backend: str
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VerificationRequest:
    """One deployed network, to be run, compared and timed.

    `table` is a table to predict by; None takes the newest one below `tables`
    that was measured in the same setting, if there is any. With `sustain_s` it is called for
    so many seconds more without a pause, and the last minute compared with what a table of the
    sustained state predicts.
    """

    architecture: Architecture
    export: ExportSpec
    artefact: Artefact
    device: DeviceOptions
    chunks: Iterable[Chunk]
    table: Path | None = None
    tables: Path = Path("tables")
    target_us: float | None = None
    quiet: bool = False
    profile: bool = False
    sustain_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelRequest:
    """A model of the user's own, to be run, compared and timed.

    With a `table` of the setting, the machine is compared with its state then, by anchors.
    """

    model: OwnModel
    device: DeviceOptions
    table: Path | None = None
    target_us: float | None = None
    quiet: bool = False
    profile: bool = False
    sustain_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputErrors:
    """Outputs of the device against torch's, over all images; of a model, over all calls.

    `largest_error` is relative to the largest expected magnitude, `rms_error`
    to the expected outputs' own size; `judged` names the one that `limit`
    holds for. `agreement` is the share of images with the same first class.
    """

    images: int
    largest_error: float
    rms_error: float
    judged: str
    limit: float
    agreement: float
    device_top1: float | None = None
    torch_top1: float | None = None
    reference: str = "torch"
    of: str = "images"

    @property
    def passed(self) -> bool:
        """Whether the device computes what torch does."""
        error = self.rms_error if self.judged == "rms_error" else self.largest_error
        return bool(error <= self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Measured microseconds a call, with the 95 % interval of this run.

    `rejected` counts blocks that were disturbed and left out.
    """

    centre_us: float
    low_us: float
    high_us: float
    first_us: float | None
    passes: int
    blocks: int
    stable: bool
    clock_khz: int | None
    rejected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPrediction:
    """A table's prediction, and how far it is off.

    `difference` is predicted over measured, less 1; `difference_at_clock` the
    same with the measurement stated at the table's clock, where both are
    known. `probability` is that of meeting the target, if there is one. All of this
    is at the state that the machine had when the table was made; `machine` is how it
    is now and `today` the prediction for that, both None where it is not known.
    """

    table: str
    value_us: float
    low_us: float
    high_us: float
    probability: float | None
    clock_khz: int | None
    difference: float
    difference_at_clock: float | None
    machine: MachineNow | None = None
    today: TodaysPrediction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    """Outputs, latency and prediction of a network on a device.

    `latency` is None where every block was disturbed; `disturbed` says of how many that is
    to be said, how loaded the machine was, and what to do. The outputs are compared anyway.
    A call, and so the latency, is of `batch` images.
    """

    device: str
    model: str | None
    source: str
    runtime: str
    runner: str
    backend: str
    threads: int
    numbers: OutputErrors | None
    latency: Latency | None
    prediction: LatencyPrediction | None
    target_us: float | None
    disturbed: str = ""
    notes: tuple[str, ...] = ()
    machine: MachineNow | None = None
    footprint: Footprint | None = None
    memory_prediction: MemoryPrediction | None = None
    profile: TimeProfile | None = None
    batch: int = 1
    sustained: Sustained | None = None
    sustained_prediction: SustainedPrediction | None = None

    @property
    def images_per_s(self) -> float | None:
        """Images a second, one call after another; None where no latency was measured."""
        return None if self.latency is None else self.batch / self.latency.centre_us * 1e6

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the network is not good enough on this device; empty if it is."""
        problems = []
        if self.numbers is not None and not self.numbers.passed:
            reference = self.numbers.reference
            problems.append(f"the device computes something else than {reference}")
        if self.disturbed:
            problems.append(self.disturbed)
        if self.sustained is not None and self.sustained.ended:
            problems.append(f"the sustained run was cut short: {self.sustained.ended}")
        if self.latency is None:
            return (*problems, "no latency was measured")
        if not self.latency.stable:
            problems.append("the measurement is unstable")
        if self.target_us is not None and self.latency.centre_us > self.target_us:
            problems.append(f"the target is missed{self._advice(self.latency, self.target_us)}")
        return tuple(problems)

    @property
    def at_table_state_us(self) -> float | None:
        """What the measurement would be at the state and clock of the table, if that is known."""
        machine = self.prediction.machine if self.prediction else None
        return self.latency.centre_us / machine.total if machine and self.latency else None

    def _advice(self, latency: Latency, target_us: float) -> str:
        """What to do where the target is missed only because of the machine's state or clock."""
        here, there = latency.clock_khz, self.prediction and self.prediction.clock_khz
        machine = self.prediction.machine if self.prediction else None
        if machine is not None:
            slower = machine.total
            why = f"the machine is {slower - 1:.1%} slower than at the state of the table"
        elif here and there:
            slower, why = there / here, f"the clock ran {1 - here / there:.1%} below the table's"
        else:
            return ""
        if latency.centre_us / slower > target_us:
            return ""
        return (
            f": {why}; a search with --target-ms {target_us / slower / 1e3:.4g} leaves room "
            "for that"
        )


class DeviceVerifier(Protocol):
    """Runs deployed networks on devices."""

    def names(self) -> tuple[str, ...]:
        """The devices that are known by name, to be completed in a shell."""
        ...

    def defaults(self, device: DeviceOptions) -> DeviceDefaults:
        """Backend and dtype of the device of this name; touches no device.

        Raises:
            UsageError: No such device.
        """
        ...

    def reach(self, device: DeviceOptions, dtype: str) -> None:
        """Return if the device is there and takes such files, before anything is built for it.

        Raises:
            UsageError: Options that it does not take.
            DeviceError, DeviceLost, DeviceTimeout: It cannot be reached.
        """
        ...

    def verify_model(self, request: ModelRequest) -> VerificationReport:
        """The same for a model of the user's own; there is no prediction.

        Raises:
            UsageError: The table is of another setting.
            DeviceError: The device has no kernel for an operator that is not delegated.
            DeviceLost, DeviceTimeout: The device.
        """
        ...

    def verify(self, request: VerificationRequest) -> VerificationReport:
        """Push the file, compare its outputs, time it, compare the time with a table's.

        Raises:
            UsageError: The table is of another setting or resolution.
            MissingOperator: The table named lacks operators.
            DeviceError, DeviceLost, DeviceTimeout: The device.
        """
        ...


def load_device_verifier() -> DeviceVerifier:
    """The installed package that drives devices.

    Raises:
        UsageError: There is none, or more than one.
    """
    points = list(entry_points(group=GROUP))
    if not points:
        raise UsageError(
            "Nothing that drives devices is installed.",
            "Install the kit (pip install -e '.[profile]'), or export only, with --export-format.",
        )
    if len(points) > 1:
        names = ", ".join(sorted(point.name for point in points))
        raise UsageError(f"Several packages claim to drive devices: {names}.", "Keep one of them.")
    verifier: DeviceVerifier = points[0].load()
    return verifier
