"""A whole cold campaign against the naive loop, as a ratio in one run.

    python tests/benchmarks/bench_campaign.py [--operators 8] [--networks 4]

The naive loop is what a first script does: for each operator (and network) a
fresh process that exports it, loads it in Python's runtime and repeats it
until the interval is as narrow as the campaign's. A seeded sample of it is
timed and scaled to the whole table; the campaign is timed whole, with an empty
cache. Run it on a machine that does nothing else.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deploy.artefact import ExportSpec
from profiler.planning.networks import draw_networks
from profiler.settings import PRESETS
from search.spaces.registry import make_space

NAIVE = """
import sys, time
import numpy as np, torch
from executorch.extension.pybindings import _portable_lib as runtime
from deploy.exporters.executorch import _export
from deploy.network import fold_batch_norm, seeded_network
from search.operators.modules import example_input
from search.architecture import parse_keys
operators = parse_keys(sys.argv[2:])
torch.set_num_threads(1)
runtime._unsafe_reset_threadpool(1)
x = example_input(operators)
with torch.no_grad():
    content = _export(fold_batch_norm(seeded_network(operators)), x)
program = runtime._load_for_executorch_from_buffer(content)
for _ in range(10):
    program.forward([x])
target, values = float(sys.argv[1]), []
generator = np.random.default_rng(0)
while True:
    for _ in range(50):
        started = time.perf_counter_ns()
        program.forward([x], clone_outputs=False)
        values.append(time.perf_counter_ns() - started)
    draws = np.median(generator.choice(values, (300, len(values))), axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    if (high - low) / 2 <= target * np.median(values) or len(values) >= 5000:
        break
print(np.median(values) / 1e3)
"""


def naive_seconds(subject: ExportSpec, target: float) -> float:
    """Wall time of one naive process."""
    keys = [operator.key for operator in subject.operators]
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", NAIVE, str(target), *keys],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.monotonic() - started


def campaign_seconds(*options: str) -> float:
    """Wall time of a campaign with an empty cache (the runner is built before)."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"KIT_CACHE": str(Path(folder) / "cache")}
        subprocess.run([sys.executable, "-m", "device_agents.native"], check=True, env=environment)
        started = time.monotonic()
        command = [sys.executable, "-m", "profiler", "--device", "host", "-q"]
        subprocess.run(
            [*command, "-o", str(Path(folder) / "tables"), *options], check=False, env=environment
        )
        return time.monotonic() - started


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--operators", type=int, default=8)
    parser.add_argument("--networks", type=int, default=4)
    arguments = parser.parse_args()
    space, effort = make_space("fbnet"), PRESETS["default"]
    singles = [ExportSpec.of(operator) for operator in space.operators]
    networks = draw_networks(space, effort.calibration + effort.exam, 0)
    generator = random.Random(0)
    target = effort.target_relative_ci
    mean = {
        kind: sum(naive_seconds(subject, target) for subject in sample) / len(sample)
        for kind, sample in (
            ("operator", generator.sample(singles, arguments.operators)),
            ("network", generator.sample(networks, arguments.networks)),
        )
    }
    naive = mean["operator"] * len(singles)
    naive_all = naive + mean["network"] * len(networks)
    ours = campaign_seconds()
    print(f"naive: {mean['operator']:.1f} s an operator, {mean['network']:.1f} s a network")
    print(f"naive, {len(singles)} operators:                {naive:.0f} s")
    print(f"naive, with {len(networks)} networks as well:      {naive_all:.0f} s")
    print(f"campaign, cold, exam included:         {ours:.0f} s")
    print(f"ratio, operators alone by the naive:   {naive / ours:.1f}")
    print(f"ratio, the same content:               {naive_all / ours:.1f}")


if __name__ == "__main__":
    main()
