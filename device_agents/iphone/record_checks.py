"""What records of a phone must be before they become times: the same for live and replayed ones.

`device_agents.protocol.check_records` has seen before that the stream is whole.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from device_agents.device import Device
from device_agents.iphone.units import PLACES, check_unit, compute_unit
from device_agents.protocol import Failure, Hello, Loaded, Plan, Record, Sample
from search.console.messages import counted
from search.errors import DeviceError
from search.table.manifest import Source

RUNNER = "coreml-agent"
HOT = frozenset({"serious", "critical"})
# More blocks than this share, taken while the phone was hot, leave too few of the others.
_MOST_HOT = 0.2
_AGAIN = "Measure again with this device, or name the device that measured."


class RecordChecks:
    """Checks the records of one phone, plan by plan, and counts what is to be remarked.

    A record that shows another phone, system or unit ends the run; a program
    that ran elsewhere than asked becomes a failure; a block that was timed
    while the phone was hot counts as disturbed.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self.source: Source = "measured"
        self._samples = self._hot = 0
        self._placements: Counter[str] = Counter()
        self._unit = ""

    def check(self, records: Iterable[Record], plan: Plan) -> Iterator[Record]:
        """The records, hot blocks marked and misplaced programs as failures.

        Raises:
            DeviceError: Another phone, system, unit or number of threads than asked
                for, a block twice, or one of a program that was not loaded.
        """
        self._unit = compute_unit(plan.backend)
        loops: dict[int, int] = {}
        seen: set[tuple[int, int]] = set()
        for record in records:
            if isinstance(record, Hello):
                self._check_hello(record, plan)
            elif isinstance(record, Loaded):
                loops[record.item] = record.loops
                self._placements[record.placement or ""] += 1
            elif isinstance(record, Sample):
                _check_sample(record, plan, loops, seen)
                self._samples += 1
                self._hot += record.thermal_state in HOT
            yield self._judged(record)

    def _check_hello(self, hello: Hello, plan: Plan) -> None:
        if hello.runner != RUNNER:
            self.source = "simulated"
        if (hello.backend, hello.threads) != (plan.backend, plan.threads):
            raise DeviceError(
                f"The records are of {hello.backend} with {counted(hello.threads, 'thread')}; "
                f"asked for was {plan.backend} with {plan.threads}.",
                _AGAIN,
            )
        self._check_phone(hello.device_model, hello.runtime_version)
        if hello.device_model is not None:
            check_unit(plan.backend, hello.device_model)

    def _check_phone(self, model: str | None, system: str | None) -> None:
        asked = self._device.match
        for name, value in (("model", model), ("os", system)):
            patterns = asked.get(name, "*").split("|")
            if value is None and self.source == "simulated":
                continue
            if value is None or not any(fnmatchcase(value, pattern) for pattern in patterns):
                raise DeviceError(
                    f"The records are of a phone with {name} {value or 'unknown'}; "
                    f"{self._device.name} asks for {' or '.join(patterns)}.",
                    _AGAIN,
                )

    def _judged(self, record: Record) -> Record:
        if isinstance(record, Loaded) and (strange := self._strange(record.placement)):
            return Failure(
                item=record.item,
                kind="placement",
                message=f"it ran on {strange}, asked for was {self._unit}",
            )
        if isinstance(record, Sample) and record.thermal_state in HOT:
            return record.model_copy(update={"switches": max(1, record.switches)})
        return record

    def _strange(self, placement: str | None) -> str:
        places = set(placement.split("+")) if placement else set()
        return "+".join(sorted(places - PLACES[self._unit]))

    def check_heat(self) -> None:
        """Refuse a run that was timed hot for a good part.

        Raises:
            DeviceError: It was.
        """
        if self._hot > _MOST_HOT * self._samples:
            raise DeviceError(
                f"{self._hot} of {self._samples} blocks were timed while the phone was hot.",
                "Let it cool without its case, away from the sun, and measure again.",
            )

    def remarks(self) -> tuple[str, ...]:
        """Notes for the table."""
        found = []
        if self._hot:
            found.append(
                f"{self._hot} of {self._samples} blocks were timed while the phone was hot "
                "(thermal state serious or critical) and are left out"
            )
        known = {name for name in self._placements if name}
        if self._unit != "cpu_only" and known == {"cpu"}:
            found.append(f"{self._unit} was asked for, but every program ran on the CPU")
        return tuple(found)


def _check_sample(
    sample: Sample, plan: Plan, loops: dict[int, int], seen: set[tuple[int, int]]
) -> None:
    block, reason = (sample.item, sample.round), ""
    if block in seen:
        reason = "twice"
    elif sample.round >= plan.rounds:
        reason = f"although the plan has {plan.rounds} rounds"
    elif sample.item not in loops:
        reason = "of a program that was not loaded"
    elif sample.loops != loops[sample.item]:
        reason = f"with {sample.loops} calls, announced were {loops[sample.item]}"
    elif sample.ns == 0:
        reason = "that took no time"
    if reason:
        raise DeviceError(
            f"The records hold a block of item {sample.item}, round {sample.round}, {reason}.",
            "The file was put together from several runs: take the app's records.jsonl as it is.",
        )
    seen.add(block)
