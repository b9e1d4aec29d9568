"""Device agent protocol, its settings, and the device state it reports."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from platform import machine
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from device_agents.protocol import Plan, Record
from search.table.manifest import DeviceInfo, PhoneState, Source


def say_on_stderr(text: str) -> None:
    """Tell the user one sentence, on standard error."""
    print(text, file=sys.stderr, flush=True)


NO_TEMPERATURE = (
    "The device tells no temperature of its CPU: the limit of --max-temp cannot be kept where the "
    "runner reads none either."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """How an agent starts its runner, and how it reports to the user (`say`)."""

    backend: str
    threads: int
    affinity: tuple[int, ...] | None
    runner: str = "auto"
    runtime: str = "auto"
    timeout_s: float = 120.0
    # Without `affinity`: whether the agent may choose the cores itself.
    pin: bool = True
    # A runner that tells where a program's time goes; on the host it has its own runtime.
    profile: bool = False
    say: Callable[[str], None] = say_on_stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """State of the device at this moment; unknown is None."""

    governor: str | None = None
    fixed_performance_mode: bool | None = None
    # What the device answered, by the setting that it refused.
    refused_settings: Mapping[str, str] = field(default_factory=dict)
    # Cores that it has and that are switched off.
    cores_offline: tuple[int, ...] | None = None
    temperature_c: float | None = None
    load_average: float | None = None
    pinned: tuple[int, ...] | None = None
    phone: PhoneState | None = None


class DeviceAgent(Protocol):
    """Runs plans on one device; a context manager that owns the runner.

    Invariants:
      * `run` yields `hello` first and `bye` last, whose counts agree with
        what was yielded; otherwise it raises.
      * A plan is complete or it raises `Transient`; records yielded before
        that are valid and stay so.
      * After a raise, `run` can be called again: the runner is restarted.
      * `source` is what the resulting table must be marked as.
    """

    source: Source

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def info(self) -> DeviceInfo:
        """Identity of the device, without anything that names its owner."""
        ...

    def state(self) -> DeviceState:
        """State that changes how fast the device is."""
        ...

    def deliver(self, path: Path, sha256: str) -> str:
        """Make one artefact available; returns its name for a plan's `file`.

        Raises:
            DeviceError: No space, or the copy differs.
        """
        ...

    def reserve(self) -> str:
        """An unused name for a plan's `output`.

        Raises:
            DeviceError: This device computes nothing (it is simulated).
        """
        ...

    def collect(self, name: str) -> bytes:
        """The content of a file that a plan wrote under a reserved name; it is removed.

        Raises:
            DeviceError: There is no such file.
        """
        ...

    def run(self, plan: Plan) -> Iterator[Record]:
        """Run one plan, yielding records as they come.

        Raises:
            DeviceLost: The runner died or its stream broke off.
            DeviceTimeout: No data for `timeout_s`.
        """
        ...


@runtime_checkable
class KeepsFiles(Protocol):
    """An agent that keeps files from one run to the next."""

    def lacking(self, sizes: Mapping[str, int]) -> set[str]:
        """The contents, of these (sha256 to bytes), that would have to be copied.

        Raises:
            DeviceError: There is no space for them.
        """
        ...

    def deliver_all(self, files: Mapping[str, Path]) -> Mapping[str, str]:
        """As `deliver` for many files (by sha256) at once; the name of each there, by sha256.

        Raises:
            DeviceError: As `deliver`; of one file.
        """
        ...


@runtime_checkable
class StartsFresh(Protocol):
    """An agent that knows whether its runner's peak memory is that of one plan."""

    @property
    def starts_fresh(self) -> bool:
        """True where the plan after a `restart` gets a process of its own."""
        ...

    def restart(self) -> None:
        """End a runner that would go on: the next plan, if it has rounds, gets a new process."""
        ...


@runtime_checkable
class HasRemarks(Protocol):
    """An agent that adds notes to its measurements."""

    def remarks(self) -> tuple[str, ...]:
        """Sentences for the notes of a table."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Siblings:
    """Phones that measure as one device, and how far they agree on what all of them ran.

    Attributes:
        hashes: The hash of each one's serial number, by the number that is in its samples'
            `at_ns` (`device_agents.protocol.CLOCK_STEP_NS`).
        shared_items: How many items all of them ran.
        apart: The share by which one is slower than the others (below 0: faster), by number: the
            median over these items. Who ran none of them is not there.
        most_apart: The largest difference on one item, slowest against fastest; None: unknown.
    """

    hashes: Mapping[int, str]
    shared_items: int = 0
    apart: Mapping[int, float] = field(default_factory=dict)
    most_apart: float | None = None


@runtime_checkable
class HasSiblings(Protocol):
    """An agent that is several phones."""

    def siblings(self) -> Siblings:
        """The phones that took part so far."""
        ...


@runtime_checkable
class HearsStages(Protocol):
    """An agent that lets others see how far a campaign is."""

    def hear_stage(self, title: str) -> None:
        """A stage begins, such as "pass 2 of 6"."""
        ...


# Where a device's runtime comes from: ExecuTorch's pinned wheels, the packages that are
# installed here, or a build with Android's NDK; `auto` is the device's own choice.
RUNTIMES = ("auto", "wheels", "installed", "ndk")


def default_runtime(platform: str) -> str:
    """The runtime that `auto` takes on devices of a platform; empty where there is no choice."""
    if platform == "host":
        return "wheels" if machine() == "aarch64" else "installed"
    return "wheels" if platform == "android" else ""
