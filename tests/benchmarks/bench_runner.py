"""The native runner beside Python's runtime: a call's price, and the floor of each.

    python tests/benchmarks/bench_runner.py [--target-us 20] [--repeats 12] [--seed 0]

Takes the operator of FBNet's space whose time by the native runner is nearest
to the target, and the empty program, whose time is what a call costs by itself
(the dispatch floor). Both runners measure both, one thread, by turns in a
seeded random order, so that what the machine does in between meets both alike.
Reported: the median over repeats of each repeat's median block, the middle half
of the repeats, and the difference of the two runners within a repeat. Run it on
a machine that does nothing else.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from deploy.artefact import Artefact, ExportSpec
from deploy.build import build_all
from deploy.exporters.registry import exporter_entry
from device_agents.base import AgentSettings
from device_agents.host.agent import HostAgent
from device_agents.protocol import Failure, Plan, PlanItem, Sample
from search.operators.counts import count
from search.operators.spec import OperatorSpec
from search.spaces.registry import make_space

RUNNERS = ("native", "python")
CANDIDATES = 24


@dataclass(frozen=True, slots=True)
class Repeat:
    """Medians of one repeat, in microseconds, by runner."""

    floor_us: dict[str, float]
    operator_us: dict[str, float]


def main() -> int:
    """Choose an operator, measure by turns, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--target-us", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    operators = sorted(make_space("fbnet").operators, key=lambda one: (count(one).flops, one.key))
    empty, *candidates = artefacts([OperatorSpec(kind="empty"), *operators[:CANDIDATES]])
    with ExitStack() as stack:
        agents = {name: stack.enter_context(make_agent(name)) for name in RUNNERS}
        times = medians(agents["native"], candidates, asked.rounds)
        nearest = min(range(len(times)), key=lambda i: abs(times[i] - asked.target_us))
        print(f"operator {operators[nearest].key}, {times[nearest]:.1f} us by the native runner")
        order = random.Random(asked.seed)
        found = []
        for _ in range(asked.repeats):
            turns = order.sample(RUNNERS, len(RUNNERS))
            both = [empty, candidates[nearest]]
            taken = {name: medians(agents[name], both, asked.rounds) for name in turns}
            found.append(
                Repeat(*({name: taken[name][part] for name in RUNNERS} for part in range(2)))
            )
    report(found)
    return 0


def artefacts(operators: Sequence[OperatorSpec]) -> list[Artefact]:
    """The artefact of each operator, built where the cache has none."""
    subjects = [ExportSpec.of(operator) for operator in operators]
    built = {one.export.name: one for one in build_all(subjects, exporter_entry("xnnpack", "fp32"))}
    ready = [built[subject.name].artefact for subject in subjects]
    if any(one is None for one in ready):
        sys.exit("An operator could not be exported.")
    return [one for one in ready if one is not None]


def make_agent(runner: str) -> HostAgent:
    """This machine at one thread by one of the runners."""
    settings = AgentSettings(backend="xnnpack", threads=1, affinity=None, runner=runner)
    return HostAgent(settings)


def medians(agent: HostAgent, files: Sequence[Artefact], rounds: int) -> list[float]:
    """Median time of a call of each file, microseconds."""
    items = tuple(
        PlanItem(id=number, file=agent.deliver(file.path, file.sha256), sha256=file.sha256)
        for number, file in enumerate(files)
    )
    plan = Plan(
        nonce="bench", backend="xnnpack", threads=1, order_seed=1, rounds=rounds, items=items
    )
    blocks: dict[int, list[float]] = {item.id: [] for item in items}
    for record in agent.run(plan):
        if isinstance(record, Failure):
            sys.exit(f"{files[record.item].path}: {record.message}")
        if isinstance(record, Sample):
            blocks[record.item].append(record.ns / record.loops / 1e3)
    return [statistics.median(values) for values in blocks.values()]


def report(found: Sequence[Repeat]) -> None:
    """Print both runners and their difference."""
    for name in RUNNERS:
        print(f"{name:11} floor {spread([one.floor_us[name] for one in found])}", end=", ")
        print(f"operator {spread([one.operator_us[name] for one in found])}")
    floor = [one.floor_us["python"] - one.floor_us["native"] for one in found]
    operator = [one.operator_us["python"] - one.operator_us["native"] for one in found]
    print(f"python adds floor {spread(floor)}, operator {spread(operator)}")


def spread(values: Sequence[float]) -> str:
    """Median and middle half."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.2f} us [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    sys.exit(main())
