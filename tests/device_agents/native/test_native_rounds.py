"""Which blocks the native runner times, in which order, and what it says of them."""

from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from device_agents import protocol
from device_agents.protocol import Loaded, Sample, Sentinel
from tests.device_agents.native.launching import item, only, plan, run
from tests.device_agents.native.programs import Program


def shuffled(seed: int, number: int, count: int) -> list[int]:
    """The order that the runner documents: splitmix64 and Fisher-Yates."""
    mask = (1 << 64) - 1

    def outputs(state: int) -> Any:
        while True:
            state = (state + 0x9E3779B97F4A7C15) & mask
            z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
            yield z ^ (z >> 31)

    random = outputs((next(outputs(seed)) + number) & mask)
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = next(random) % (i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def test_each_round_visits_every_item_once_in_the_documented_order(
    runner: Path, programs: dict[str, Program]
) -> None:
    seed = (1 << 64) - 5
    items = [item(programs["two_inputs"].file, number) for number in range(6)]
    samples = only(Sample, run(runner, plan(*items, order_seed=seed, rounds=4)))
    orders = [[s.item for s in samples if s.round == number] for number in range(4)]
    assert orders == [shuffled(seed, number, 6) for number in range(4)]
    assert len(set(map(tuple, orders))) > 1
    assert [s.at_ns for s in samples] == sorted(s.at_ns for s in samples)


def test_loops_are_chosen_so_that_a_block_lasts_and_can_be_prescribed(
    runner: Path, programs: dict[str, Program]
) -> None:
    file = programs["two_inputs"].file
    items = [item(file, 0), item(file, 1, loops=7)]
    records = run(runner, plan(*items, min_block_ns=200_000, rounds=9))
    chosen, prescribed = (loaded.loops for loaded in only(Loaded, records))
    assert prescribed == 7
    assert {(s.item, s.loops) for s in only(Sample, records)} == {(0, chosen), (1, 7)}
    # A call alone takes longer than one in a row, and the clock may have risen since: a block
    # may be shorter than asked, but one of a single call would be shorter by far.
    assert np.median([s.ns for s in only(Sample, records) if s.item == 0]) >= 50_000
    many = plan(item(file), min_block_ns=20_000_000, max_loops=10**7)
    longer = only(Loaded, run(runner, many))[0]
    assert longer.loops > 10 * chosen > 10
    capped = run(runner, plan(*items, min_block_ns=10**12, max_loops=3))
    assert [loaded.loops for loaded in only(Loaded, capped)] == [3, 7]


def test_the_sentinel_comes_before_every_so_many_items_of_a_round(
    runner: Path, programs: dict[str, Program]
) -> None:
    items = [item(programs["two_inputs"].file, number) for number in range(5)]
    records = run(runner, plan(*items, sentinel=4, sentinel_every=2))
    measured = [r.type for r in records if isinstance(r, Sample | Sentinel)]
    one_round = ["sentinel", "sample", "sample"] * 2 + ["sentinel", "sample"]
    assert measured == one_round * 2
    assert sum(s.item == 4 for s in only(Sample, records)) == 2


def test_the_counts_of_bye_agree_with_what_came(runner: Path, programs: dict[str, Program]) -> None:
    items = [item(programs["two_inputs"].file, 0), item(Path("/nowhere.pte"), 1)]
    records = run(runner, plan(*items, sentinel=0))
    count = Counter(record.type for record in records)
    bye = records[-1]
    assert isinstance(bye, protocol.Bye)
    assert (bye.samples, bye.sentinels, bye.failures) == (2, 2, 1)
    assert (count["sample"], count["sentinel"], count["failure"]) == (2, 2, 1)
    assert 1_000 < (bye.max_rss_kb or 0) < 1_000_000


def test_hello_says_who_measures(runner: Path, programs: dict[str, Program]) -> None:
    nonce = 'ü "\\\n\U0001f600'
    one = plan(item(programs["two_inputs"].file), nonce=nonce, backend="b", rounds=0)
    hello = run(runner, one, KIT_RUNNER_SHA256="abc")[0]
    assert isinstance(hello, protocol.Hello)
    assert (hello.nonce, hello.backend, hello.runner_sha256) == (nonce, "b", "abc")
    assert (hello.runner, hello.runtime) == ("executorch-native", "executorch")
    assert hello.runtime_version == version("executorch")
    assert 0 < (hello.clock_resolution_ns or 0) < 1_000_000
