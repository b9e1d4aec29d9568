"""Models of one's own through `deploy` on this machine: numbers, parts of the whole, pairs.

    python tests/benchmarks/check_own_models.py [--only NAME] [--fast] [--pairs N]

For FBNet-C, MobileNetV2, ResNet-18, a small ViT and a detection backbone (plain torch, random
weights) it prints the error against torch, the latency, how far the operators that the tracer
tells add up to the whole, and what is left to kernels. FBNet-C is given as a .pt2 file, and timed
beside the kit's own artefact of it, pass by pass: the paired difference. Exit 1 if an error is
above 1e-4, if fewer than four of five add up within 2 %, or if the pair differs by more than 1 %.
"""

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

NAMES = ("fbnet_c", "mobilenet_v2", "resnet18", "small_vit", "detection_backbone")
ERROR, PARTS, PAIR = 1e-4, 0.02, 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=NAMES, help="one network alone")
    parser.add_argument("--fast", action="store_true", help="fewer passes")
    parser.add_argument("--pairs", type=int, default=12, help="runs of the pair; 0 leaves it out")
    options = parser.parse_args()
    preset = "fast" if options.fast else "default"
    with tempfile.TemporaryDirectory() as folder:
        names = (options.only,) if options.only else NAMES
        shares = [check(name, Path(folder), preset) for name in names]
        good = all(error <= ERROR for error, _ in shares)
        close = sum(abs(share) <= PARTS for _, share in shares if share is not None)
        print(f"{close} of {len(shares)} add up to the whole within {PARTS:.0%}")
        if not options.only:
            good = good and close >= 4
        if options.pairs and "fbnet_c" in names:
            good = pair(Path(folder), options.pairs) and good
    return 0 if good else 1


def exported(name: str, folder: Path) -> Path:
    """The network as a .pt2 file."""
    import torch

    from tests.benchmarks import own_networks

    model, inputs = getattr(own_networks, name)()
    path = folder / f"{name}.pt2"
    if not path.exists():
        torch.export.save(torch.export.export(model, inputs), path)
    return path


def check(name: str, folder: Path, preset: str) -> tuple[float, float | None]:
    """Deploy one network; its error, and the share that its operators leave of the whole."""
    from deploy.models.prepare import ModelOptions, prepare_model
    from deploy.models.source import find_source
    from deploy.verification.details import footprint_lines, profile_lines
    from deploy.verification.device_side import (
        DeviceOptions,
        ModelRequest,
        load_device_verifier,
    )

    # One by its factory, the others as files: both ways in.
    factory = f"{ROOT}/tests/benchmarks/own_networks.py:{name}"
    text = factory if name == "resnet18" else str(exported(name, folder))
    source = find_source(text)
    assert source is not None
    model = prepare_model(source, "xnnpack", ModelOptions(shapes={}, cases=2))
    device = DeviceOptions(name="host", preset=preset)
    report = load_device_verifier().verify_model(
        ModelRequest(model=model, device=device, quiet=True, profile=True)
    )
    assert report.numbers is not None
    error, profile = report.numbers.largest_error, report.profile
    latency = f"{report.latency.centre_us / 1e3:.3f} ms" if report.latency else "not timed"
    print(f"{name}: error {error:.1e}, {latency}, {sum(model.outside.values())} kernels outside")
    for line in (*report.problems, *report.notes):
        print(f"  {line}")
    for line in footprint_lines(report.footprint) if report.footprint else ():
        print(line)
    for line in profile_lines(profile) if profile else ():
        print(line)
    sys.stdout.flush()
    return error, profile.rest_share if profile else None


def pair(folder: Path, runs: int) -> bool:
    """The kit's own artefact and the same network given as .pt2, in the same interleaved runs."""
    from deploy.artefact import ExportSpec
    from deploy.models.prepare import ModelOptions, prepare_model
    from deploy.models.source import find_source
    from device_agents.registry import find_device
    from profiler.campaign.network_timing import time_networks
    from profiler.measuring.agents import TimingOptions, open_agent, timing_settings
    from profiler.measuring.own_models import input_file, timed_model
    from profiler.settings import PRESETS
    from search.console.progress import Silent
    from search.zoo.resolve import find_network

    source = find_source(str(exported("fbnet_c", folder)))
    assert source is not None
    model = prepare_model(source, "xnnpack", ModelOptions(shapes={}, cases=1))
    kit = ExportSpec(name="kit", operators=find_network("FBNet-C").architecture.operators)
    target = find_device("host")
    settings = timing_settings(target, "fp32", TimingOptions(effort=PRESETS["fast"]))
    ratios = []
    with ExitStack() as stack:
        given = stack.enter_context(input_file(model.inputs, model.cases))
        agent = stack.enter_context(open_agent(target, settings))
        for _ in range(runs):
            times = time_networks(
                [kit], agent, settings, Silent(), ready=[timed_model(model, given)]
            ).timed
            if len(times) == 2:
                ratios.append(times[model.name].centre_us / times["kit"].centre_us)
    if not ratios:
        print("pair: no run was undisturbed")
        return False
    middle = statistics.median(ratios) - 1
    spread = statistics.pstdev(ratios)
    print(
        f"pair: FBNet-C as .pt2 takes {middle:+.2%} against the kit's own artefact "
        f"(median of {len(ratios)} runs, standard deviation {spread:.2%})"
    )
    return abs(middle) <= PAIR


if __name__ == "__main__":
    sys.exit(main())
