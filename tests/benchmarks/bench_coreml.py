"""Core ML packages of a whole space: time, size, worst errors, and one package against many.

    python -m tests.benchmarks.bench_coreml [--dtype fp16 fp32 w8] [--space fbnet] [--workers 2]

Builds everything that a table of the space needs: chains of 1, 4 and 16 copies
of every operator, operators and restoring operators alone, the empty program;
then the published networks. Each package passes the gate as it is built:
structure first, then its numbers against torch, link by link. Then the programs
of each operator become functions of one package. Starts from an empty cache
(--cached uses the kit's own). Exit code 1 if a package fails, an error exceeds
its limit or the packages exceed 1 GB. Needs coremltools, no device.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace

from deploy.artefact import Artefact, ExportSpec
from deploy.build import build_all
from deploy.exporters.coreml_multifunction import merge
from deploy.exporters.registry import exporter_entry
from profiler.planning.plan import make_plan
from profiler.settings import PRESETS, CampaignSettings
from search.spaces.registry import make_space
from search.zoo import network_names, zoo_architecture

LIMITS = {"fp16": 5e-3, "fp32": 1e-5, "w8": float("inf")}
MOST_BYTES = 1e9
Built = list[tuple[ExportSpec, Artefact]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="fbnet")
    parser.add_argument("--dtype", nargs="+", default=["fp16"], choices=sorted(LIMITS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--filter", help="operators whose key matches only")
    parser.add_argument("--without-networks", action="store_true")
    parser.add_argument("--cached", action="store_true", help="what the kit has built stays built")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kit-bench-") as cache:
        if not asked.cached:
            os.environ["KIT_CACHE"] = cache
        problems = [problem for dtype in asked.dtype for problem in bench(asked, dtype)]
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(bool(problems))


def bench(asked: argparse.Namespace, dtype: str) -> list[str]:
    """Everything in one number format; what misses a limit."""
    subjects = space_subjects(asked.space, dtype, asked.filter)
    started = time.monotonic()
    chains, problems = build(subjects, dtype, asked.workers, f"{asked.space} {dtype}")
    for title, part in _parts(chains).items():
        report(f"  {title}", part)
    built_s = time.monotonic() - started
    separate = sum(artefact.size_bytes for _, artefact in chains)
    together = one_package_an_operator(chains)
    merged_s = time.monotonic() - started - built_s
    print(
        f"  one package an operator: {together / 1e6:.1f} MB, {1 - together / separate:.1%} less "
        f"than separate ones; merged in {merged_s:.0f} s\n"
        f"  whole space: {built_s:.0f} s separate, {built_s + merged_s:.0f} s merged "
        f"(asked for 600 s on two free cores)",
        flush=True,
    )
    if separate > MOST_BYTES:
        problems.append(f"{dtype}: {separate / 1e6:.0f} MB of packages exceed 1 GB")
    if asked.without_networks:
        return problems
    networks = [zoo_architecture(name, dtype=dtype) for name in network_names()]
    named = [ExportSpec(name=n.name, operators=n.operators) for n in networks]
    return problems + build(named, dtype, asked.workers, f"published networks {dtype}")[1]


def space_subjects(space: str, dtype: str, pattern: str | None) -> list[ExportSpec]:
    """All that a table of chains needs, without random networks."""
    settings = CampaignSettings(
        device="bench",
        space=make_space(space, dtype=dtype).spec,
        dtype=dtype,
        backend="coreml",
        threads=1,
        affinity=None,
        runner="auto",
        seed=0,
        effort=replace(PRESETS["fast"], calibration=0, exam=0),
        chains=(1, 4, 16),
        filter=pattern,
    )
    return list(make_plan(settings).exports)


def build(
    subjects: Sequence[ExportSpec], dtype: str, workers: int, title: str
) -> tuple[Built, list[str]]:
    """Build them; what was built, and what failed or is too far off."""
    started, found, problems = time.monotonic(), [], []
    for outcome in build_all(subjects, exporter_entry("coreml", dtype), workers):
        if outcome.artefact is None:
            problems.append(f"{dtype}: FAILED {outcome.export.name}: {outcome.reason}")
        else:
            found.append((outcome.export, outcome.artefact))
    print(f"{title}: {len(found)} of {len(subjects)} in {time.monotonic() - started:.0f} s")
    report("  all", found)
    problems += [
        f"{dtype}: {subject.name} is {artefact.relative_error:.2g} off"
        for subject, artefact in found
        if not artefact.relative_error <= LIMITS[dtype]
    ]
    return found, problems


def report(title: str, built: Built) -> None:
    """Number, work, size and the worst error of some packages."""
    if not built:
        return
    subject, worst = max(built, key=lambda pair: pair[1].relative_error)
    work = sum(artefact.build_seconds for _, artefact in built)
    size = sum(artefact.size_bytes for _, artefact in built)
    print(
        f"{title}: {len(built)} packages, {work:.0f} s of work, {size / 1e6:.1f} MB, "
        f"worst error {worst.relative_error:.2g} ({subject.name})",
        flush=True,
    )


def _parts(built: Built) -> dict[str, Built]:
    found: dict[str, Built] = {}
    for subject, artefact in built:
        part = f"chains of {subject.copies}" if subject.part == "links" else f"{subject.part} alone"
        found.setdefault(part if subject.copies else "empty program", []).append(
            (subject, artefact)
        )
    return dict(sorted(found.items()))


def one_package_an_operator(built: Built) -> int:
    """Bytes when the programs of each operator are functions of one package."""
    groups: dict[object, Built] = {}
    for subject, artefact in built:
        key = subject.operators if subject.copies else subject.name
        groups.setdefault(key, []).append((subject, artefact))
    total = 0
    for group in groups.values():
        parts = {f"f{i}": artefact.path.read_bytes() for i, (_, artefact) in enumerate(group)}
        total += len(merge(parts)) if len(parts) > 1 else len(parts["f0"])
    return total


if __name__ == "__main__":
    main()
