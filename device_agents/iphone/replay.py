"""Replay of records that were measured elsewhere, from a prepared folder.

The records are yielded to the campaign item by item, matched by the content of
the item's package, so that judging, tables and exams are those of an attached
phone.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from device_agents.base import DeviceState
from device_agents.device import Device
from device_agents.iphone.record_checks import RecordChecks
from device_agents.iphone.record_files import read_lines
from device_agents.protocol import (
    Begin,
    Bye,
    Failure,
    Hello,
    Loaded,
    Plan,
    Record,
    Sample,
    Sentinel,
    check_records,
    plan_digest,
    read_plan,
)
from search.errors import DeviceError, UsageError
from search.table.manifest import DeviceInfo, Source


class ReplayAgent:
    """Yields the records that the agent app wrote.

    Raises:
        UsageError: The folder holds no plan or no records, or a plan that was changed.
        DeviceError: The records are of another phone, system or unit than the device
            asks for, or were put together from several runs.
        DeviceLost: The records are cut off, or of another plan.
    """

    def __init__(self, device: Device, folder: Path) -> None:
        self._device = device
        try:
            plan = read_plan(folder / "plan.json")
            lines = read_lines(folder)
        except UsageError:
            raise
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{folder} is no prepared folder with records: {error}",
                "Put records.jsonl beside plan.json (README.txt there says how).",
            ) from error
        if plan.nonce != plan_digest(plan):
            raise UsageError(
                f"The plan in {folder} is not as it was prepared.", "Prepare the folder again."
            )
        self._checks = RecordChecks(device)
        self._sort(plan, list(self._checks.check(check_records(lines, plan), plan)))
        self._checks.check_heat()
        # Measured, unless the records say that no phone wrote them.
        self.source: Source = self._checks.source

    def _sort(self, plan: Plan, records: list[Record]) -> None:
        contents = {item.id: item.sha256 for item in plan.items if item.id != plan.sentinel}
        (self._hello,) = [record for record in records if isinstance(record, Hello)]
        self._samples: dict[str, deque[Sample]] = {sha: deque() for sha in contents.values()}
        self._loaded: dict[str, Loaded] = {}
        self._failures: dict[str, Failure] = {}
        self._sentinels: list[Sentinel] = []
        for record in records:
            match record:
                case Sample() if record.item in contents:
                    self._samples[contents[record.item]].append(record)
                case Loaded() if record.item in contents:
                    _check_digest(record, contents[record.item])
                    self._loaded[contents[record.item]] = record
                case Failure() if record.item in contents:
                    self._failures[contents[record.item]] = record
                case Sentinel():
                    self._sentinels.append(record)

    def remarks(self) -> tuple[str, ...]:
        """Notes for the table."""
        return self._checks.remarks()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def info(self) -> DeviceInfo:
        """Identity as the app reported it."""
        return DeviceInfo(
            id=self._device.name,
            kind="ios",
            manufacturer="Apple",
            model=self._hello.device_model,
            os=f"iOS {self._hello.runtime_version}" if self._hello.runtime_version else None,
            os_build=self._hello.os_build,
            abi="arm64",
        )

    def state(self) -> DeviceState:
        """Nothing is known."""
        return DeviceState()

    def deliver(self, path: Path, sha256: str) -> str:  # noqa: ARG002
        """Nothing is copied; the name is the content's sha256."""
        if sha256 not in self._samples:
            raise DeviceError(
                "The records are of other packages than these settings make.",
                "Give the options, and use the versions, that prepared the folder.",
            )
        return sha256

    def reserve(self) -> str:
        """Refused.

        Raises:
            DeviceError: Always.
        """
        raise DeviceError("Records hold times, no outputs.", "Attach the phone.")

    def collect(self, name: str) -> bytes:
        """Refused.

        Raises:
            DeviceError: Always.
        """
        raise DeviceError(f"Records hold no file {name!r}.", "Attach the phone.")

    def run(self, plan: Plan) -> Iterator[Record]:
        """The next rounds of each item.

        Raises:
            DeviceError: No records are left.
        """
        yield self._hello.model_copy(update={"nonce": plan.nonce})
        samples = failures = 0
        sentinels, self._sentinels = self._sentinels, []
        yield from sentinels
        for item in plan.items:
            if item.id == plan.sentinel:
                continue
            yield Begin(item=item.id)
            if failure := self._failures.get(item.sha256):
                failures += 1
                yield failure.model_copy(update={"item": item.id})
                continue
            if loaded := self._loaded.get(item.sha256):
                yield loaded.model_copy(update={"item": item.id})
            for number in range(plan.rounds):
                if not self._samples[item.sha256]:
                    raise DeviceError("The records end early.", "Let the app finish its job.")
                sample = self._samples[item.sha256].popleft()
                samples += 1
                yield sample.model_copy(update={"item": item.id, "round": number})
        yield Bye(samples=samples, sentinels=len(sentinels), failures=failures)


def _check_digest(loaded: Loaded, sha256: str) -> None:
    """Refuse records that do not say of which file they are."""
    if loaded.sha256 != sha256:
        raise DeviceError(
            "The records do not say which files were loaded.",
            "They are of an older app: install the present one and measure again.",
        )
