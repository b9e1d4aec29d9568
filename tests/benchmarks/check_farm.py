"""Random histories of a farm of phones: nothing double, nothing lost, every phone back.

    python -m tests.benchmarks.check_farm --histories 10000 [--first 0] [--jobs 2]
    python -m tests.benchmarks.check_farm --planted --histories 300
    python -m tests.benchmarks.check_farm --histories 1 --first 4711

50 phones on 8 hosts, 20 users; clocks differ, messages are lost, late and doubled, processes
pause, die in the middle of a transaction and start again. The registry of the farm, its leases and
the fences on the phones are the product's own; the rest is simulated. Ends with 1, and the seeds,
if anything was wrong. `--planted` plants one error after the other instead, and ends with 1 if
one of them is not found.
"""

import argparse
import concurrent.futures
import sys

from tests.device_agents.farm.plan import BUGS, Bug, Plan
from tests.device_agents.farm.simulation import play

_CHUNK = 50


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--planted", action="store_true")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.histories)
    if options.planted:
        return max(_search_for(bug, seeds) for bug in BUGS)
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        done = wrong = 0
        for found in pool.map(_play_some, _chunks(seeds)):
            done += min(_CHUNK, len(seeds) - done)
            wrong += len(found)
            for seed, faults in found:
                print(f"seed {seed}: {'; '.join(faults[:3])}", flush=True)
            print(f"{done} histories, {wrong} with faults", file=sys.stderr, flush=True)
    print(f"{done} histories of {Plan.phones} phones on {Plan.hosts} hosts, {wrong} with faults")
    return int(wrong > 0)


def _chunks(seeds: range) -> list[range]:
    return [seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK)]


def _play_some(seeds: range) -> list[tuple[int, list[str]]]:
    return [(seed, found) for seed in seeds if (found := play(seed, Plan()))]


def _search_for(bug: Bug, seeds: range) -> int:
    for number, seed in enumerate(seeds, 1):
        if found := play(seed, Plan(bug=bug)):
            print(f"{bug}: found in history {number} (seed {seed}): {found[0]}", flush=True)
            return 0
    print(f"{bug}: NOT FOUND in {len(seeds)} histories", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
