"""Core ML packages of a whole space: time, size, worst errors, and one package against many.

    python -m tests.benchmarks.bench_coreml [--space fbnet] [--dtype fp16] [--workers 2]

Builds everything that a table of the space needs: chains of 1, 4 and 16
copies of every operator, the chains behind restoring operators, the empty
program; then the published networks. An empty cache (KIT_CACHE) measures from
nothing. Needs coremltools, no device.
"""

import argparse
import time
from dataclasses import replace

from deploy.artefact import Artefact, Subject
from deploy.build import build_all
from deploy.multifunction import merge
from deploy.registry import exporter_entry
from profiler.plan import make_plan
from profiler.settings import PRESETS, Settings
from search.spaces.registry import make_space
from search.zoo import network_names, zoo_architecture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="fbnet")
    parser.add_argument("--dtype", default="fp16")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--merge", type=int, default=24)
    asked = parser.parse_args()
    subjects = space_subjects(asked.space, asked.dtype)
    built = build(subjects, asked.dtype, asked.workers, f"{asked.space} {asked.dtype}, chains")
    networks = [zoo_architecture(name, dtype=asked.dtype) for name in network_names()]
    named = [Subject(name=n.name, operators=n.operators) for n in networks]
    build(named, asked.dtype, asked.workers, "published networks")
    one_against_many({s.name: built[s.name] for s in subjects[: asked.merge] if s.name in built})


def space_subjects(space: str, dtype: str) -> list[Subject]:
    settings = Settings(
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
    )
    return list(make_plan(settings).subjects)


def build(subjects: list[Subject], dtype: str, workers: int, title: str) -> dict[str, Artefact]:
    started, found, cached = time.monotonic(), {}, 0
    for outcome in build_all(subjects, exporter_entry("coreml", dtype), workers):
        if outcome.artefact is None:
            print(f"FAILED {outcome.subject.name}: {outcome.reason}", flush=True)
        else:
            found[outcome.subject.name] = outcome.artefact
            cached += outcome.cached
    seconds = time.monotonic() - started
    worst = max(found, key=lambda name: found[name].relative_error)
    size = sum(artefact.size_bytes for artefact in found.values())
    work = sum(artefact.build_seconds for artefact in found.values())
    print(
        f"{title}: {len(found)} of {len(subjects)} packages ({cached} cached) in {seconds:.0f} s "
        f"({work:.0f} s of work), {size / 1e6:.1f} MB; worst error "
        f"{found[worst].relative_error:.2g} ({worst})",
        flush=True,
    )
    return found


def one_against_many(built: dict[str, Artefact]) -> None:
    packages = {
        f"f{number}": artefact.path.read_bytes() for number, artefact in enumerate(built.values())
    }
    started = time.monotonic()
    merged = merge(packages)
    print(
        f"{len(packages)} packages of {sum(map(len, packages.values())) / 1e6:.2f} MB as functions "
        f"of one: {len(merged) / 1e6:.2f} MB, merged in {time.monotonic() - started:.1f} s"
    )


if __name__ == "__main__":
    main()
