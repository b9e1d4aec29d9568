"""Records of a prepared folder that are not what was asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_agents.iphone.replay import ReplayAgent
from device_agents.protocol import (
    Begin,
    Failure,
    Hello,
    Loaded,
    Plan,
    Record,
    Sample,
    dump_plan,
    dump_record,
    load_plan,
    with_digest,
)
from profiler.campaign.prepared_folder import prepare
from profiler.planning.plan import make_plan
from search.console.progress import Silent
from search.errors import KitError
from search.spaces.registry import make_space
from tests.profiler.campaign.recorded import (
    PHONE,
    measure,
    read_records,
    write_records,
)

Change = Callable[[list[Record]], list[Record]]


def hello(**facts: Any) -> Change:
    return lambda records: [records[0].model_copy(update=facts), *records[1:]]


def each(kind: type, number: int | None = None, **facts: Any) -> Change:
    """Change records of one kind: the first `number`, or all."""

    def change(records: list[Record]) -> list[Record]:
        left, made = number, []
        for record in records:
            if isinstance(record, kind) and (left is None or left > 0):
                record = record.model_copy(update=facts)
                left = None if left is None else left - 1
            made.append(record)
        return made

    return change


def _bye(records: list[Record], **more: int) -> list[Record]:
    bye = records[-1]
    counts = {name: getattr(bye, name) + number for name, number in more.items()}
    return [*records[:-1], bye.model_copy(update=counts)]


def double_a_block(records: list[Record]) -> list[Record]:
    sample = next(r for r in records if isinstance(r, Sample))
    return _bye([*records[:-1], sample, records[-1]], samples=1)


def double_all_blocks(records: list[Record]) -> list[Record]:
    samples = [r for r in records if isinstance(r, Sample)]
    return _bye([*records[:-1], *samples, records[-1]], samples=len(samples))


def block_of_a_further_round(records: list[Record]) -> list[Record]:
    sample = next(r for r in records if isinstance(r, Sample))
    late = sample.model_copy(update={"round": 10_000})
    return _bye([*records[:-1], late, records[-1]], samples=1)


def program_never_loaded(records: list[Record]) -> list[Record]:
    first = next(n for n, r in enumerate(records) if isinstance(r, Loaded))
    return records[:first] + records[first + 1 :]


def lose_a_block(records: list[Record]) -> list[Record]:
    first = next(n for n, r in enumerate(records) if isinstance(r, Sample))
    return records[:first] + records[first + 1 :]


PLANTED: dict[str, Change] = {
    "another model": hello(device_model="iPhone12,1"),
    "no model": hello(device_model=None),
    "a newer system": hello(runtime_version="17.0"),
    "an older system": hello(runtime_version="15.7"),
    "no system": hello(runtime_version=None),
    "another unit": hello(backend="coreml-cpu_and_gpu"),
    "another runtime": hello(backend="xnnpack"),
    "more threads": hello(threads=2),
    "another job": hello(nonce="prepared"),
    "hot throughout": each(Sample, thermal_state="serious"),
    "critically hot for a third": each(Sample, 900, thermal_state="critical"),
    "another file begun": each(Begin, 1, sha256="0" * 64),
    "another file loaded": each(Loaded, 1, sha256="0" * 64),
    "no file named": each(Loaded, sha256=None),
    "a block twice": double_a_block,
    "all blocks twice": double_all_blocks,
    "a block too many": block_of_a_further_round,
    "a block lost": lose_a_block,
    "a program never loaded": program_never_loaded,
    "other numbers of calls": each(Sample, 1, loops=77),
    "a block of no time": each(Sample, 1, ns=0),
}


@pytest.fixture
def small_folder(bench: Any, tmp_path: Path, simulated_packages: None) -> Path:
    """A measured folder of one operator."""
    settings = bench.settings(
        device="iphonex",
        space=make_space("fbnet-mini", dtype="fp16").spec,
        dtype="fp16",
        backend="coreml-cpu_only",
        chains=(1, 4, 16),
        filter="head|^classifier",
    )
    prepare(make_plan(settings), PHONE, tmp_path / "job", None, Silent())
    measure(tmp_path / "job")
    return tmp_path / "job"


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_refused(fault: str, small_folder: Path) -> None:
    ReplayAgent(PHONE, small_folder)
    write_records(small_folder, PLANTED[fault](read_records(small_folder)))
    with pytest.raises(KitError):
        ReplayAgent(PHONE, small_folder)


@pytest.mark.parametrize("where", ["ne", "cpu+gpu", "unknown", "gpu"])
def test_a_program_that_ran_elsewhere_than_asked_has_failed(where: str, small_folder: Path) -> None:
    write_records(small_folder, each(Loaded, 1, placement=where)(read_records(small_folder)))
    plan = load_plan((small_folder / "plan.json").read_text())
    replayed = list(ReplayAgent(PHONE, small_folder).run(plan.model_copy(update={"rounds": 1})))
    (failure,) = [record for record in replayed if isinstance(record, Failure)]
    assert failure.kind == "placement"
    assert "asked for was cpu_only" in failure.message


def test_a_few_hot_blocks_are_marked_and_left_out(small_folder: Path) -> None:
    hot = each(Sample, 10, thermal_state="serious")
    write_records(small_folder, hot(read_records(small_folder)))
    agent = ReplayAgent(PHONE, small_folder)
    assert any("10 of" in remark and "hot" in remark for remark in agent.remarks())
    plan = load_plan((small_folder / "plan.json").read_text())
    samples = [record for record in agent.run(plan) if isinstance(record, Sample)]
    assert 0 < sum(sample.switches > 0 for sample in samples) <= 10


def test_records_that_no_phone_wrote_are_marked_as_simulated(small_folder: Path) -> None:
    write_records(small_folder, hello(runner="agent-linux")(read_records(small_folder)))
    assert ReplayAgent(PHONE, small_folder).source == "simulated"


def test_the_phones_own_words_reach_the_table(tmp_path: Path) -> None:
    plan = with_digest(
        Plan(nonce="", backend="coreml-cpu_only", threads=1, order_seed=0, rounds=0, items=())
    )
    said = Hello(
        nonce=plan.nonce, runner="coreml-agent", runtime="coreml", runtime_version="16.7",
        backend=plan.backend, threads=1, device_model="iPhone10,3", os_build="20H350",
    )  # fmt: skip
    (tmp_path / "plan.json").write_text(dump_plan(plan))
    bye = '{"type":"bye","samples":0,"sentinels":0,"failures":0}'
    (tmp_path / "records.jsonl").write_text(f"{dump_record(said)}\n{bye}\n")
    info = ReplayAgent(PHONE, tmp_path).info()
    assert (info.model, info.os, info.os_build) == ("iPhone10,3", "iOS 16.7", "20H350")
