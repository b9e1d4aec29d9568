"""The wire format between the host and every runner of artefacts.

A *plan* (one JSON object on one line) goes in; *records* (JSON Lines, each
flushed) come out, `hello` first and `bye` last. Everything that runs an
artefact uses it: the native runner, the Python runner, the agent app, the
simulated device.

Terms, from large to small:
  * A *pass* measures every item of a campaign once: one plan, or several in
    turn where the items do not fit into one.
  * A *round* visits every item of a plan once; a plan asks for `rounds` of them.
  * A *visit* is one item's turn in a round, and yields one `sample`.
  * A *block* is the timed part of a visit: `loops` calls without a pause.
  * The *sentinel* is one item that is timed again and again between the
    others: its times show whether the device slowed down meanwhile.

Rules that every runner keeps:
  * Items are loaded first, each announced by `begin`; an item that cannot be
    loaded or executed yields one `failure`, and the others are still run.
  * Each round visits the items in an order drawn from `order_seed`. A visit
    rewrites the input (so that it is as fresh in the caches as a previous
    layer would leave it), times the first call separately as `first_ns`
    (other operators ran in between, as inside a network), adds calls up to
    `warmup` in all, then times one block.
  * `loops` 0 lets the runner choose it once per item, so that a block lasts
    at least `min_block_ns`.
  * A block during which the thread was involuntarily switched out is redone,
    `max_attempts` times in all; the last attempt is reported with its count of
    switches, and the host rejects it if that is not zero.
  * The sentinel is timed before every `sentinel_every` visits.
  * Times are integer nanoseconds of a monotonic clock, per block.
  * A line that is cut off, or a stream without `bye`, is a lost device.
  * With a fence, a runner starts, and writes a sample, only while the largest token
    in the fence's folder is the plan's; else it ends with `EXIT_FENCED_OFF`.
  * A nonce of 64 digits is the digest of its plan (`with_digest`): a plan that
    travels as a file, and its records, can be told from any other.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from search.documents import parse_json, read_text
from search.errors import DeviceLost
from search.table.values import (
    MOST_CLOCK_KHZ,
    MOST_COUNT,
    Celsius,
    Count,
    Cpu,
    PositiveCount,
    Threads,
)

PROTOCOL_SCHEMA = 1
# A runner's exit code where the device belongs to a later token than its plan's.
EXIT_FENCED_OFF = 4
# Phones that share a campaign have unrelated clocks: the times of phone k are shifted by k
# times this (13 days of running).
CLOCK_STEP_NS = 2**50
# More than any record needs; readers hand on a longer line in pieces, which are no records.
MOST_LINE = 2**20

# Which items there are is for the plan to say.
Item = Annotated[int, Field(ge=-MOST_COUNT, le=MOST_COUNT)]
# Whole numbers that a journal can hold, sums of them included.
Nanoseconds = Annotated[int, Field(ge=0, le=2**61)]
PositiveNanoseconds = Annotated[int, Field(ge=1, le=2**61)]
# Kernels answer 0 for a clock or a temperature that they do not know.
Clock = Annotated[
    int | None, Field(ge=0, le=MOST_CLOCK_KHZ), AfterValidator(lambda khz: khz or None)
]
Temperature = Annotated[
    int | None,
    Field(ge=-300_000, le=10_000_000),
    AfterValidator(lambda millidegrees: millidegrees or None),
]


class Wire(BaseModel):
    """Base of every wire message: frozen, no unknown fields, no coercion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PlanItem(Wire):
    """One artefact to run.

    `input` and `output` name raw tensor files (the method's own dtype and
    memory order, inputs concatenated); null means a seeded random input and
    no output kept. An input file may hold several sets of inputs: while the
    item is loaded the method runs on each in turn, once, and `output` gets
    their outputs, concatenated. Time is always taken on the first set. With
    `profile` the runner tells, once the item is loaded, where the time of so
    many calls goes (`Profile` and its `Event`s).
    """

    id: int = Field(ge=0)
    file: str
    sha256: str
    method: str = "forward"
    loops: int = Field(default=0, ge=0)
    input: str | None = None
    output: str | None = None
    profile: int = Field(default=0, ge=0, le=100_000)


class Fence(Wire):
    """Whose the device is: a folder on it, with an empty file for each token, and the plan's.

    Only devices that several hosts share have one (`device_agents.farm`).
    """

    folder: str
    token: int = Field(ge=1, lt=10**18)


class Plan(Wire):
    """The work of one launch of a runner.

    `cool` is for the agent and never on the wire: whether it may first wait until the device is
    not throttled any more. Plans of sustained load do not cool.
    """

    schema_version: Literal[1] = 1
    nonce: str
    backend: str
    threads: int = Field(ge=1)
    affinity: tuple[int, ...] | None = None
    order_seed: int = Field(ge=0)
    rounds: int = Field(ge=0)
    warmup: int = Field(default=2, ge=1)
    min_block_ns: int = Field(default=1_000_000, ge=0)
    max_loops: int = Field(default=10_000, ge=1)
    max_attempts: int = Field(default=5, ge=1)
    sentinel: int | None = None
    sentinel_every: int = Field(default=10, ge=1)
    max_temperature_c: Celsius | None = None
    fence: Fence | None = None
    cool: bool = Field(default=True, exclude=True)
    items: tuple[PlanItem, ...]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        ids = [item.id for item in self.items]
        if len(set(ids)) != len(ids):
            raise ValueError("two items of a plan share an id")
        if self.sentinel is not None and self.sentinel not in ids:
            raise ValueError("the sentinel is not among the items")
        return self


class Hello(Wire):
    """The runner, its runtime and its device; unknown is null."""

    type: Literal["hello"] = "hello"
    schema_version: Literal[1] = 1
    nonce: str
    runner: str
    runner_sha256: str | None = None
    runner_build: str | None = None
    runtime: str
    runtime_version: str | None = None
    backend: str
    threads: Threads
    affinity: tuple[Cpu, ...] | None = None
    clock_resolution_ns: Nanoseconds | None = None
    pid: Count | None = None
    device_model: str | None = None
    os_build: str | None = None


class Begin(Wire):
    """The runner is about to load this item: if it dies now, this item is the cause.

    `sha256` is its file's, where the runner states it.
    """

    type: Literal["begin"] = "begin"
    item: Item
    sha256: str | None = None


class Loaded(Wire):
    """An item is ready: `loops` is the number of calls in each of its blocks.

    `placement` names the compute units that the runtime means to use, if known;
    `sha256` is the file's, where the runner states it; `first_ns` is the first call
    after it was loaded, `planned_bytes` the memory that the program was planned to
    compute in.
    """

    type: Literal["loaded"] = "loaded"
    item: Item
    sha256: str | None = None
    load_ns: Nanoseconds
    loops: Count
    placement: str | None = None
    first_ns: Nanoseconds | None = None
    planned_bytes: Count | None = None


class Profile(Wire):
    """Where an item's time goes: sums over `calls` calls, the quieter half of those asked for.

    `whole_ns` is of calls as they are timed, `traced_ns` of the calls between them whose
    steps were written down: the difference is what that costs. Its `Event`s follow.
    """

    type: Literal["profile"] = "profile"
    item: Item
    calls: PositiveCount
    whole_ns: PositiveNanoseconds
    traced_ns: PositiveNanoseconds


class Event(Wire):
    """One step of the traced calls of an item, summed over them, in order of execution.

    `depth` counts the steps around it. A `delegated` one is an operator that a delegate
    told of at its end; it lies in the step one less deep before it.
    """

    type: Literal["event"] = "event"
    item: Item
    name: Annotated[str, Field(max_length=4096)]
    kind: Literal["step", "delegated"]
    depth: Count
    ns: Nanoseconds


class Sample(Wire):
    """One visit of one item: its first call and its timed block."""

    type: Literal["sample"] = "sample"
    item: Item
    round: Count
    loops: PositiveCount
    ns: PositiveNanoseconds
    first_ns: Nanoseconds | None = None
    switches: Count = 0
    attempts: Count = 1
    at_ns: Nanoseconds
    freq_khz: Clock = None
    temperature_mc: Temperature = None
    thermal_state: str | None = None


class Sentinel(Wire):
    """One timed block of the sentinel."""

    type: Literal["sentinel"] = "sentinel"
    loops: PositiveCount
    ns: PositiveNanoseconds
    switches: Count = 0
    at_ns: Nanoseconds
    freq_khz: Clock = None
    temperature_mc: Temperature = None


class Failure(Wire):
    """One item could not be loaded or executed; the others are still run."""

    type: Literal["failure"] = "failure"
    item: Item
    kind: str
    message: str


class Bye(Wire):
    """The plan is complete; the counts must agree with the records received."""

    type: Literal["bye"] = "bye"
    samples: Count
    sentinels: Count
    failures: Count
    max_rss_kb: Count | None = None


Record = Annotated[
    Hello | Begin | Loaded | Profile | Event | Sample | Sentinel | Failure | Bye,
    Field(discriminator="type"),
]
_RECORD: TypeAdapter[Record] = TypeAdapter(Record)


def dump_plan(plan: Plan) -> str:
    """Return the plan as one line of JSON, without the newline.

    What came later and is not asked for is left out: runners from before know no such field.
    """
    unasked: dict[str, Any] = {} if plan.fence else {"fence": True}
    items = {n: {"profile"} for n, item in enumerate(plan.items) if not item.profile}
    if items:
        unasked["items"] = items
    return plan.model_dump_json(exclude=unasked or None)


def load_plan(text: str) -> Plan:
    """Read a plan back.

    Raises:
        ValueError: The text is not a plan of this schema.
    """
    return Plan.model_validate_json(text)


def read_plan(path: Path) -> Plan:
    """Read a plan's file, which a person may have edited.

    Raises:
        UsageError: It cannot be read, or is no text.
        ValueError: It is no plan of this schema.
    """
    text = read_text(path)
    parse_json(text)
    return load_plan(text)


def dump_record(record: Record) -> str:
    """Return a record as one line of JSON, without the newline."""
    return record.model_dump_json(exclude_none=True)


def plan_digest(plan: Plan) -> str:
    """SHA-256 of the plan's line with an empty nonce, in hexadecimal."""
    return hashlib.sha256(dump_plan(plan.model_copy(update={"nonce": ""})).encode()).hexdigest()


def with_digest(plan: Plan) -> Plan:
    """The plan with its digest as nonce."""
    return plan.model_copy(update={"nonce": plan_digest(plan)})


def parse_record(line: str) -> Record:
    """Read one line of a runner's output.

    Raises:
        DeviceLost: The line is cut off, garbled or of another schema.
    """
    try:
        return _RECORD.validate_json(line)
    except ValidationError as error:
        shown = line if len(line) <= 80 else f"{line[:80]}…"
        raise DeviceLost(
            f"The runner sent a line that is not a record: {shown!r}.",
            "The connection or the runner broke; run again with --resume.",
        ) from error


_RESUME = "Run again with --resume; what was measured is kept."


def check_records(lines: Iterable[str], plan: Plan) -> Iterator[Record]:
    """Yield the records of one plan, up to and including `bye`.

    Raises:
        DeviceLost: A line that is cut off, a stream that ends early, another run's
            stream, an item or a file that the plan does not name, or counts that
            disagree.
    """
    counts: Counter[str] = Counter()
    planned = {item.id: item.sha256 for item in plan.items}
    for line in lines:
        record = parse_record(line)
        if isinstance(record, Hello) != (not counts):
            raise DeviceLost("The runner's stream does not begin with one hello.", _RESUME)
        if isinstance(record, Hello) and record.nonce != plan.nonce:
            raise DeviceLost("The runner answered another run's plan.", _RESUME)
        item = getattr(record, "item", None)
        if item is not None and item not in planned:
            raise DeviceLost("The runner reported an item that it was not given.", _RESUME)
        if isinstance(record, Begin | Loaded) and record.sha256 not in (None, planned[record.item]):
            raise DeviceLost(f"The runner loaded another file as item {record.item}.", _RESUME)
        counts[record.type] += 1
        if isinstance(record, Bye):
            _check_counts(record, counts)
            yield record
            return
        yield record
    raise DeviceLost("The runner stopped before its plan was complete.", _RESUME)


def _check_counts(bye: Bye, counts: Counter[str]) -> None:
    sent = (bye.samples, bye.sentinels, bye.failures)
    arrived = (counts["sample"], counts["sentinel"], counts["failure"])
    if sent != arrived:
        raise DeviceLost(f"Records were lost: the runner sent {sent}, {arrived} arrived.", _RESUME)
