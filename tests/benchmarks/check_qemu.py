"""The arm64 runner's outputs beside the host's, for every operator of a space.

    python tests/benchmarks/check_qemu.py [--cpu cortex-a53] [--dtype int8] [--filter REGEX]

The runner is that of the runtime for phones (`python -m device_agents.runtime`), or with
--program the binary that `python -m device_agents.cross --target linux-arm64` made. It runs
under qemu, some hundred times slower than the host: outputs are compared, times mean nothing.
Both runners draw the same inputs from the same seeds. The difference is the largest one over
the largest output magnitude of the host; int8 must be the same to the bit. A failure of either
runner is an error. Exit code 1 above the limit.

qemu 7.2 with its default processor computes wrong int8 results: one is always named.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.artefact import Artefact, ExportSpec
from deploy.build import collect
from deploy.exporters.registry import exporter_entry
from device_agents.native import build as native
from device_agents.protocol import Bye, Failure, Plan, PlanItem, dump_plan, parse_record
from device_agents.runtime.checks import find_emulator
from device_agents.runtime.folder import find
from device_agents.runtime.targets import PHONE
from profiler.planning.networks import published_operators
from search.console.progress import Silent
from search.operators.spec import OperatorSpec
from search.spaces.registry import make_space

LIMITS = {"fp32": 4e-7, "int8": 0.0}
PER_LAUNCH = 16


@dataclass(frozen=True, slots=True)
class Difference:
    """How far the two runners' outputs of one operator are apart."""

    key: str
    relative: float
    identical: bool


def main() -> int:
    """Compare and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--program", type=Path, help="one static binary instead")
    parser.add_argument("--cpu", default="cortex-a76", help="qemu's processor")
    parser.add_argument("--space", default="fbnet")
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--inputs", type=int, default=2)
    parser.add_argument("--filter", default="")
    asked = parser.parse_args()
    host, qemu = native.find(), find_emulator()
    if host is None or qemu is None:
        sys.exit("The host's runner (python -m device_agents.native) or qemu is missing.")
    arm64 = [qemu, "-cpu", asked.cpu, *arm64_command(asked.program)]
    space = make_space(asked.space, resolution=asked.resolution, dtype=asked.dtype)
    operators = [
        operator
        for operator in (*space.operators, *published_operators(space))
        if re.search(asked.filter, operator.key)
    ]
    artefacts = build_artefacts(operators, asked.dtype)
    found = []
    for start in range(0, len(operators), PER_LAUNCH):
        keys = [operator.key for operator in operators[start : start + PER_LAUNCH]]
        batch = [artefacts[key] for key in keys]
        started = time.monotonic()
        ours = outputs([str(host)], batch, asked.inputs)
        theirs = outputs(arm64, batch, asked.inputs)
        found += [compare(*each) for each in zip(keys, ours, theirs, strict=True)]
        print(f"{len(found)} of {len(operators)}, {time.monotonic() - started:.0f} s", flush=True)
    return report(found, asked.inputs, LIMITS[asked.dtype], f"{asked.dtype} on {asked.cpu}")


def arm64_command(program: Path | None) -> list[str]:
    """The words that start the runner on an arm64 machine."""
    if program is not None:
        return [str(program)]
    runtime = find(PHONE)
    if runtime is None:
        sys.exit("The runtime for phones is missing (python -m device_agents.runtime).")
    return PHONE.command(str(runtime.path))


def build_artefacts(operators: Sequence[OperatorSpec], dtype: str) -> dict[str, Artefact]:
    """The artefact of every operator, by key."""
    specs = list(map(ExportSpec.of, operators))
    entry = exporter_entry("xnnpack", dtype)
    artefacts, _ = collect(specs, entry, 1, progress=Silent(), on_failure=refuse)
    return artefacts


def refuse(name: str, reason: str) -> None:
    """Every operator must be there."""
    sys.exit(f"{name} could not be built: {reason}")


def outputs(command: list[str], batch: Sequence[Artefact], inputs: int) -> list[bytes]:
    """Each artefact's outputs for `inputs` seeded random inputs, one after the other."""
    with tempfile.TemporaryDirectory(prefix="kit-qemu-") as folder:
        items = [
            PlanItem(
                id=number,
                file=str(artefact.path),
                sha256=artefact.sha256,
                output=str(Path(folder) / str(number)),
                loops=1,
            )
            for number, artefact in enumerate(a for a in batch for _ in range(inputs))
        ]
        run(command, tuple(items))
        files = [(Path(folder) / str(item.id)).read_bytes() for item in items]
    return [b"".join(files[at : at + inputs]) for at in range(0, len(files), inputs)]


def run(command: list[str], items: tuple[PlanItem, ...]) -> None:
    """One plan without timed rounds; any failure ends the comparison."""
    plan = Plan(
        nonce="qemu", backend="xnnpack", threads=1, order_seed=0, rounds=0, warmup=1, items=items
    )
    done = subprocess.run(
        [*command, "--serve"],
        input=dump_plan(plan) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    records = [parse_record(line) for line in done.stdout.splitlines()]
    failures = [record for record in records if isinstance(record, Failure)]
    if done.returncode or failures or not records or not isinstance(records[-1], Bye):
        sys.exit(f"{command[-1]}: exit code {done.returncode}, {failures[:1]} {done.stderr[-500:]}")


def compare(key: str, host: bytes, arm: bytes) -> Difference:
    """Largest difference over the host's largest magnitude."""
    expected, actual = (np.frombuffer(content, "<f4").astype(np.float64) for content in (host, arm))
    magnitude = float(np.abs(expected).max())
    comparable = expected.shape == actual.shape and magnitude > 0 and np.isfinite(actual).all()
    if not comparable:  # all zeros would agree with anything as broken
        return Difference(key, float("inf"), False)
    return Difference(key, float(np.abs(actual - expected).max()) / magnitude, host == arm)


def report(found: Sequence[Difference], inputs: int, limit: float, setting: str) -> int:
    """Print the worst, and whether all are within the limit."""
    worst = sorted(found, key=lambda each: -each.relative)
    for each in worst[:5]:
        print(f"{each.relative:.2e}  {each.key}")
    same = sum(each.identical for each in found)
    print(
        f"{setting}: {len(found)} operators, {inputs} inputs each: worst relative difference "
        f"{worst[0].relative:.2e} (limit {limit:g}), {same} identical to the bit"
    )
    return int(worst[0].relative > limit)


if __name__ == "__main__":
    sys.exit(main())
