"""A space of 30,064 operators: what planning, writing, reading and preparing a search take.

    python tests/benchmarks/bench_giant.py [--space fbnetv2-f] [--max-operators 300]

On the simulated device, so that nothing is lowered; each step in processor seconds
and in seconds of the clock.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from device_agents.registry import find_device  # noqa: E402
from profiler.campaign.run import RunOptions, run_campaign  # noqa: E402
from profiler.measuring.agents import open_agent  # noqa: E402
from profiler.planning.budget import operators_within  # noqa: E402
from profiler.planning.plan import make_plan  # noqa: E402
from profiler.settings import PRESETS, CampaignSettings  # noqa: E402
from profiler.tables.cost_curve import cost_curve  # noqa: E402
from search.console.progress import Silent  # noqa: E402
from search.pipeline.problem import Waivers, load_problem  # noqa: E402
from search.spaces.registry import make_space  # noqa: E402
from search.table.store import read_table  # noqa: E402

Result = TypeVar("Result")


def timed(title: str, work: Callable[[], Result]) -> Result:
    """Do something and print how long it took."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    print(
        f"{title:<44} {time.process_time() - processor:6.2f} s of the processor"
        f" {time.perf_counter() - clock:7.2f} s",
        flush=True,
    )
    return result


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="fbnetv2-f")
    parser.add_argument("--max-operators", type=int, default=300)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["KIT_CACHE"] = str(Path(name) / "cache")
        space = make_space(asked.space)
        settings = CampaignSettings(
            device="simulated",
            space=space.spec,
            dtype="fp32",
            backend="simulated",
            threads=1,
            affinity=None,
            runner="auto",
            seed=0,
            effort=PRESETS["default"],
        )
        timed("operators of the space", lambda: space.operators)
        host = replace(settings, backend="xnnpack")
        number = timed(
            "operators within 45 minutes on a host",
            lambda: operators_within(make_plan(host), 2700),
        )
        print(f"  {len(space.operators)} operators, {number} of them measured")
        settings = replace(settings, max_operators=asked.max_operators)
        plan = timed(f"plan of {asked.max_operators}", lambda: make_plan(settings))
        options = RunOptions(output=Path(name) / "tables")
        with open_agent(find_device("simulated"), settings) as agent:
            table = timed(
                "simulated campaign, predicting and writing",
                lambda: run_campaign(plan, agent, options, Silent()),
            )
        assert table.path is not None
        folder = table.path
        print(f"  entries.csv {(folder / 'entries.csv').stat().st_size / 1e6:.1f} MB")
        timed("reading the table", lambda: read_table(folder))
        waivers = Waivers(simulated=True, predicted=True, unexamined=True)
        timed("preparing a search", lambda: load_problem(folder, None, waivers))
        timed("cost curve", lambda: cost_curve(table))


if __name__ == "__main__":
    main()
