"""Slope tables of the simulated iPhone against its truth: errors, intervals, exam, flips.

    python -m tests.benchmarks.bench_slopes [--preset default] [--seeds 2] [--space fbnet]

Each seed is another phone (kernels' quirks) and another campaign. Flips: blocks
of every inverted residual fall to another unit from 4 or from 16 copies on, and
from one pass to the next, with the placement told; from 4 and from 16 copies
without it. Exit code 1 below the bars: median error 2 %, exam MAPE 1.5 %, every
flip refused. Needs no device and no torch.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deploy.chains.programs import keeps_shape
from device_agents.base import AgentSettings
from device_agents.device import load_device
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.campaign.run import RunOptions, run_campaign
from profiler.planning.plan import make_plan
from profiler.settings import PRESETS, CampaignSettings, Effort
from search.console.progress import Silent
from search.spaces.registry import make_space
from search.table.store import Table

PHONE = Truth.from_options(load_device("simulated-iphone").options)
FLIPS: dict[str, dict[str, Any]] = {
    "from 4 copies on, told": {"flip_copies": 4, "flip_factor": 1.1},
    "from 16 copies on, told": {"flip_copies": 16, "flip_factor": 1.1},
    "between passes, told": {"flip_copies": 1, "flip_factor": 1.3},
    "from 4 copies on, not told": {"flip_copies": 4, "unit": None},
    "from 16 copies on, not told": {"flip_copies": 16, "unit": None},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="default", choices=sorted(PRESETS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--space", default="fbnet")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kit-slopes-") as folder:
        os.environ["KIT_CACHE"] = folder
        problems: list[str] = []
        for seed in range(asked.seeds):
            truth = replace(PHONE, seed=seed)
            effort = PRESETS[asked.preset]
            table = measure(truth, asked.space, effort, seed, Path(folder) / str(seed))
            problems += judge(table, truth, seed)
        problems += flips(asked.space, Path(folder))
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(bool(problems))


def measure(truth: Truth, space: str, effort: Effort, seed: int, output: Path) -> Table:
    settings = CampaignSettings(
        device="simulated-iphone",
        space=make_space(space, dtype="fp16").spec,
        dtype="fp16",
        backend="simulated",
        threads=1,
        affinity=None,
        runner="auto",
        seed=seed,
        effort=effort,
        chains=(1, 4, 16),
    )
    asked = AgentSettings(backend="simulated", threads=1, affinity=None)
    with SimulatedAgent(asked, truth) as agent:
        return run_campaign(make_plan(settings), agent, RunOptions(output=output), Silent())


def judge(table: Table, truth: Truth, seed: int) -> list[str]:
    """Print one table's errors; what misses a bar."""
    rows = [entry for entry in table.entries if entry.time is not None]
    true = np.array([truth.operator_us(entry.operator) for entry in rows])
    off = np.abs(np.array([entry.known_time.centre_us for entry in rows]) / true - 1)
    kept = np.array([keeps_shape(entry.operator) for entry in rows])
    print(f"seed {seed}: {dict(Counter(entry.status for entry in table.entries))}")
    for title, chosen in (("all", kept | ~kept), ("shape kept", kept), ("shape changed", ~kept)):
        middle, high = np.percentile(off[chosen], [50, 95])
        print(f"  {title}: {chosen.sum()} operators, error median {middle:.2%}, "
              f"95th percentile {high:.2%}, largest {off[chosen].max():.2%}")  # fmt: skip
    times = [entry.known_time for entry in rows]
    inside = [(i.low_us or 0) <= t <= (i.high_us or 0) for i, t in zip(times, true, strict=True)]
    exam = table.manifest.exam
    assert exam is not None
    print(f"  95 % intervals held {np.mean(inside):.0%}; exam MAPE {exam.mape.value:.2%} "
          f"[{exam.mape.low:.2%}, {exam.mape.high:.2%}], Spearman {exam.spearman.value:.4f}",
          flush=True)  # fmt: skip
    bars = {"median error": (float(np.median(off)), 0.02), "exam MAPE": (exam.mape.value, 0.015)}
    return [f"seed {seed}: {name} {v:.2%}" for name, (v, most) in bars.items() if not v <= most]


def flips(space: str, folder: Path) -> Iterator[str]:
    """Print how many flips of each kind were refused; the kinds that were not all."""
    effort = replace(PRESETS["fast"], passes=6, extra_passes=0, calibration=0, exam=0)
    pass_s = 1.0
    for number, (title, changes) in enumerate(FLIPS.items()):
        words: dict[str, Any] = {"flip_on": "ir_", "flip_factor": 1.7, **changes}
        if "passes" in title:  # stretches of one and a half: 0, 0, 1, 2, 2, 3
            words["flip_every_s"] = 1.5 * pass_s
        table = measure(replace(PHONE, **words), space, effort, 0, folder / f"flip{number}")
        pass_s = float(table.samples()["at_ns"].max()) / effort.passes / 1e9
        rows = [entry for entry in table.entries if entry.key.startswith("ir_")]
        refused = sum(entry.status == "failed" for entry in rows)
        print(f"flips {title}: {refused} of {len(rows)} refused", flush=True)
        if refused < len(rows):
            yield f"flips {title}: {len(rows) - refused} not detected"


if __name__ == "__main__":
    main()
