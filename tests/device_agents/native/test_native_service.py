"""A native runner that serves one plan after the other: threads, affinity, memory, its end."""

import os
from pathlib import Path

from device_agents import protocol
from tests.device_agents.native.launching import TIMEOUT_S, Served, item, plan
from tests.device_agents.native.programs import Program


def test_one_thread_means_no_pool_and_the_count_may_change_between_plans(
    runner: Path, programs: dict[str, Program]
) -> None:
    seen = []
    with Served(runner) as served:
        for threads in (2, 1, 3, 1):
            hello = served.run(plan(item(programs["contiguous"].file), threads=threads))[0]
            assert isinstance(hello, protocol.Hello)
            seen.append((hello.threads, len(served.status("Name"))))
    assert seen == [(2, 2), (1, 1), (3, 3), (1, 1)]


def test_threads_inherit_the_affinity_and_an_impossible_one_is_told(
    runner: Path, programs: dict[str, Program]
) -> None:
    here = tuple(sorted(os.sched_getaffinity(0)))
    seen, inherited = [], []
    with Served(runner) as served:
        for asked in (None, here[-1:], (5000,), (1023,), None):
            hello = served.run(
                plan(item(programs["contiguous"].file), threads=2, affinity=asked, rounds=0)
            )[0]
            assert isinstance(hello, protocol.Hello)
            seen.append(hello.affinity)
            inherited.append(set(served.status("Cpus_allowed_list")))
    assert seen == [here, here[-1:], here, here, here]
    assert inherited[1] == {str(here[-1])}
    assert inherited[0] == inherited[2] == inherited[4]


def test_memory_does_not_grow_over_twenty_plans(runner: Path, programs: dict[str, Program]) -> None:
    items = [item(programs["contiguous"].file, number) for number in range(30)]
    sizes = []
    with Served(runner) as served:
        for _ in range(20):
            served.run(plan(*items, rounds=1))
            sizes.append(int(served.status("VmRSS")[0].split()[0]))
    assert sizes[-1] < sizes[4] + 500


def test_a_runner_that_nobody_reads_ends_quietly(
    runner: Path, programs: dict[str, Program]
) -> None:
    with Served(runner) as served:
        served.send(plan(item(programs["contiguous"].file), rounds=10**9))
        served.read()
        assert served.process.stdout
        served.process.stdout.close()
        assert served.process.wait(TIMEOUT_S) == 0
        served.process.stdout = None
