"""The device's outputs beside torch's, image by image, through a device that is scripted."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.artefact import Artefact
from deploy.exporters.error_limits import deployment_limit
from deploy.verification.device_side import Chunk
from device_agents.base import AgentSettings
from device_agents.device import load_device
from device_agents.protocol import Failure, Hello, Plan, Record
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.measuring.agents import TimingOptions, timing_settings
from profiler.settings import PRESETS
from profiler.verification.outputs import compare_outputs
from search.console.progress import Silent
from search.errors import DeviceError, DeviceLost, UsageError
from search.table.manifest import Source

SETTINGS = timing_settings(load_device("simulated"), "fp32", TimingOptions(effort=PRESETS["fast"]))
CLASSES = 4

Compute = Callable[[Any], Any]


class Computing(SimulatedAgent):
    """A device whose outputs are a function of the images; it may break `losses` times."""

    source: Source = "measured"

    def __init__(self, folder: Path, compute: Compute, losses: int = 0) -> None:
        super().__init__(AgentSettings(backend="simulated", threads=1, affinity=None), Truth())
        self.folder, self.compute, self.losses = folder, compute, losses
        self.reserved = 0
        self.plans: list[Plan] = []

    def reserve(self) -> str:
        self.reserved += 1
        return str(self.folder / f"output{self.reserved}")

    def collect(self, name: str) -> bytes:
        return Path(name).read_bytes()

    def run(self, plan: Plan) -> Iterator[Record]:
        if not any(item.output for item in plan.items):
            yield from super().run(plan)
            return
        self.plans.append(plan)
        if self.losses:
            self.losses -= 1
            raise DeviceLost("the cable")
        item = plan.items[0]
        assert item.input is not None
        assert item.output is not None
        images = np.fromfile(item.input, np.float32).reshape(-1, 3)
        made = self.compute(images)
        if isinstance(made, str):
            yield Failure(item=item.id, kind="input", message=made)
            return
        Path(item.output).write_bytes(np.asarray(made, np.float32).tobytes())
        yield Hello(nonce=plan.nonce, runner="r", runtime="t", backend="simulated", threads=1)


WEIGHTS = np.random.default_rng(0).normal(size=(3, CLASSES)).astype(np.float32)


def torch_like(images: Any) -> Any:
    return images.reshape(len(images), 3) @ WEIGHTS


def chunk(number: int, seed: int, labels: bool = False) -> Chunk:
    generator = np.random.default_rng(seed)
    images = generator.normal(size=(number, 3, 1, 1)).astype(np.float32)
    given = generator.integers(CLASSES, size=number)
    return Chunk(images=images, expected=torch_like(images), labels=given if labels else None)


@pytest.fixture
def artefact(tmp_path: Path) -> Artefact:
    path = tmp_path / "file"
    path.write_bytes(b"program")
    return Artefact(
        path=path, sha256="x", exporter="x", relative_error=0, size_bytes=7, build_seconds=0
    )


def numbers(
    folder: Path,
    artefact: Artefact,
    chunks: list[Chunk],
    compute: Compute = torch_like,
    dtype: str = "fp32",
    losses: int = 0,
) -> Any:
    agent = Computing(folder, compute, losses)
    return compare_outputs(agent, SETTINGS, artefact, chunks, deployment_limit(dtype), Silent())


def test_a_faithful_device_passes_with_no_error(tmp_path: Path, artefact: Artefact) -> None:
    found = numbers(tmp_path, artefact, [chunk(5, 1), chunk(3, 2)])
    assert found.passed
    assert (found.images, found.agreement) == (8, 1.0)
    assert found.largest_error < 1e-6
    assert (found.device_top1, found.torch_top1) == (None, None)


@given(st.floats(1e-3, 0.4), st.integers(1, 3))
def test_an_error_is_the_same_however_images_are_chunked(
    tmp_path_factory: pytest.TempPathFactory, scale: float, parts: int
) -> None:
    folder = tmp_path_factory.mktemp("chunks")
    path = folder / "file"
    path.write_bytes(b"program")
    file = Artefact(
        path=path, sha256="x", exporter="x", relative_error=0, size_bytes=7, build_seconds=0
    )
    whole = chunk(9, 4, labels=True)
    assert whole.labels is not None
    cuts = [
        Chunk(images=images, expected=expected, labels=labels)
        for images, expected, labels in zip(
            np.array_split(whole.images, parts),
            np.array_split(whole.expected, parts),
            np.array_split(whole.labels, parts),
            strict=True,
        )
    ]
    found = numbers(folder, file, cuts, lambda images: torch_like(images) * (1 + scale))
    assert found.largest_error == pytest.approx(scale, rel=1e-4)
    assert found.rms_error == pytest.approx(scale, rel=1e-4)
    assert found.agreement == 1
    assert not found.passed


def test_int8_is_judged_by_its_rms_error(tmp_path: Path, artefact: Artefact) -> None:
    for factor, passed in ((1.3, True), (1.7, False)):
        compute = lambda images, factor=factor: torch_like(images) * factor  # noqa: E731
        found = numbers(tmp_path, artefact, [chunk(5, 1)], compute, dtype="int8")
        assert (found.judged, found.passed) == ("rms_error", passed)


def test_top_1_is_counted_on_labels_for_device_and_torch_apart(
    tmp_path: Path, artefact: Artefact
) -> None:
    shown = chunk(200, 3, labels=True)
    constant = np.eye(CLASSES, dtype=np.float32)[:1]
    found = numbers(tmp_path, artefact, [shown], lambda images: np.repeat(constant, len(images), 0))
    assert shown.labels is not None
    assert found.device_top1 == pytest.approx((shown.labels == 0).mean())
    assert found.torch_top1 == pytest.approx((shown.expected.argmax(1) == shown.labels).mean())
    assert found.agreement == pytest.approx((shown.expected.argmax(1) == 0).mean())
    assert not found.passed


@pytest.mark.parametrize("spoil", [math.nan, math.inf])
def test_numbers_that_are_none_do_not_pass(
    tmp_path: Path, artefact: Artefact, spoil: float
) -> None:
    def compute(images: Any) -> Any:
        made = torch_like(images).copy()
        made[0, 0] = spoil
        return made

    for dtype in ("fp32", "int8"):
        assert not numbers(tmp_path, artefact, [chunk(3, 1), chunk(3, 2)], compute, dtype).passed


def test_outputs_of_another_size_are_refused(tmp_path: Path, artefact: Artefact) -> None:
    with pytest.raises(DeviceError, match="wrote 36 bytes for 3 images, 48 were expected"):
        numbers(tmp_path, artefact, [chunk(3, 1)], lambda images: torch_like(images)[:, :-1])


def test_a_runner_that_fails_on_the_images_says_why(tmp_path: Path, artefact: Artefact) -> None:
    with pytest.raises(DeviceError, match=r"failed on the inputs \(input\): no room"):
        numbers(tmp_path, artefact, [chunk(3, 1)], lambda _: "no room")


def test_a_lost_device_is_tried_once_more(tmp_path: Path, artefact: Artefact) -> None:
    assert numbers(tmp_path, artefact, [chunk(3, 1)], losses=1).passed
    with pytest.raises(DeviceLost):
        numbers(tmp_path, artefact, [chunk(3, 1)], losses=2)


def test_without_images_there_is_nothing_to_compare(tmp_path: Path, artefact: Artefact) -> None:
    with pytest.raises(UsageError, match="no images"):
        numbers(tmp_path, artefact, [])


def test_images_go_as_one_file_for_which_no_time_is_taken(
    tmp_path: Path, artefact: Artefact
) -> None:
    agent = Computing(tmp_path, torch_like)
    compare_outputs(agent, SETTINGS, artefact, [chunk(7, 1)], deployment_limit("fp32"), Silent())
    (plan,) = agent.plans
    assert (plan.rounds, len(plan.items), plan.threads) == (0, 1, 1)


def test_images_that_do_not_fill_the_last_call_are_filled_up_and_compared_alone(
    tmp_path: Path, artefact: Artefact
) -> None:
    seen: list[int] = []

    def compute(images: Any) -> Any:
        seen.append(len(images))
        return torch_like(images)

    agent = Computing(tmp_path, compute)
    limit = deployment_limit("fp32")
    found = compare_outputs(agent, SETTINGS, artefact, [chunk(5, 1)], limit, Silent(), batch=4)
    assert (found.images, found.passed) == (5, True)
    assert seen == [8]
