"""The parts of a comparison of networks across settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from deploy.verification.breakdown import Footprint
from deploy.verification.device_side import OutputErrors
from deploy.verification.machine import MachineNow
from deploy.verification.sustained import Sustained
from profiler.campaign.network_timing import NetworkTimes
from profiler.comparison.operators import LayerDifference, RelativeCost
from search.table.manifest import DeviceInfo
from search.zoo.resolve import NamedNetwork

Kind = Literal["measured", "predicted", "published", "imported", "simulated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonColumn:
    """One setting: `kind` is what its cells are, `clock_khz` the clock they are stated at.

    A call is of `batch` images.
    """

    label: str
    kind: Kind
    detail: str = ""
    clock_khz: int | None = None
    batch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One network in one setting: a latency with its 95 % interval, or a reason for none.

    `table_us` is what a table says itself where its prediction was restated for the
    machine as it is today; None elsewhere. `memory_kb` is the peak of the network's own
    memory: measured, or predicted with a 95 % interval where a table tells it.
    """

    network: str
    column: int
    latency_us: float | None = None
    low_us: float | None = None
    high_us: float | None = None
    note: str = ""
    stable: bool = True
    table_us: float | None = None
    footprint: Footprint | None = None
    memory_kb: float | None = None
    memory_low_kb: float | None = None
    memory_high_kb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A network's latency over the winner's in one setting.

    The interval takes both errors as independent, which is wide for two
    predictions of one table; None where a figure came without an interval.
    """

    network: str
    column: int
    ratio: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonVerdict:
    """The winner of one setting; `clear` when every interval of a ratio is above 1.

    `clear` is None where the errors are not known.
    """

    column: int
    winner: str
    clear: bool | None
    others: tuple[Ratio, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A network that was predicted and measured in the same setting.

    `difference` is predicted over measured, less 1; `at_clock` the same for the
    table's own figure, with the measurement stated at the table's clock, where both
    are known. `within` is None unless the prediction is restated for today: whether
    the measurement then lies in its interval. A prediction of the sustained state is
    compared with the last `minute` of a run (None: with the time in the burst).
    """

    network: str
    predicted: int
    measured: int
    difference: float
    at_clock: float | None
    within: bool | None = None
    minute: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """The machine of a measured column against its state when a table was made.

    `machine` is None where that is not known; `notes` say why, and what was left out.
    """

    predicted: int
    measured: int
    machine: MachineNow | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model of the user's own among the networks, as it was named."""

    name: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Networks x columns, one cell each, and what follows from them.

    `shifts` are operators whose relative cost differs between two tables, `sustained` by
    column the runs of minutes.
    """

    networks: tuple[NamedNetwork, ...]
    columns: tuple[ComparisonColumn, ...]
    cells: tuple[Cell, ...]
    verdicts: tuple[ComparisonVerdict, ...]
    agreements: tuple[Agreement, ...]
    layers: tuple[LayerDifference, ...]
    shifts: tuple[RelativeCost, ...]
    states: tuple[MachineState, ...] = ()
    models: tuple[ModelEntry, ...] = ()
    sustained: Mapping[int, Sustained] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Of networks, then of the user's own models."""
        return (*(n.name for n in self.networks), *(m.name for m in self.models))

    @property
    def stable(self) -> bool:
        """False if a measured cell did not reach the precision, or a run the time asked for."""
        whole = not any(one.ended for one in self.sustained.values())
        return whole and all(cell.stable for cell in self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Networks that were timed on one device at hand; `label` is its id and the setting.

    `footprints` and `numbers` (the outputs of the user's own models) are by network. Calls of
    the kit's networks are on `batch` images.
    """

    label: str
    simulated: bool
    timing: NetworkTimes
    device: DeviceInfo | None = None
    footprints: Mapping[str, Footprint] = field(default_factory=dict)
    numbers: Mapping[str, OutputErrors] = field(default_factory=dict)
    batch: int = 1
    sustained: Sustained | None = None
