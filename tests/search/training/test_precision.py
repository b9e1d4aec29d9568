"""Device, precision, layout, and torch's global switches."""

import pytest
import torch
from torch import nn

from search.errors import UsageError
from search.training.compute.precision import Compute, configured, peak_memory_mb
from search.training.single_network import SingleNetworkTraining
from tests.search.training.standins import CPU, TinySearch, recipe, run, small_network

HOST = torch.device("cpu")


@pytest.mark.parametrize(
    "wrong", [{"device": "tpu"}, {"device": "meta"}, {"dtype": "float8"}, {"threads": 0}]
)
def test_what_cannot_compute_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Compute(**wrong)  # type: ignore[arg-type]


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert Compute(device="cuda").torch_device() == torch.device("cuda", 0)
    for compute, rank in ((Compute(device="cuda:1"), 0), (Compute(device="cuda"), 1)):
        with pytest.raises(UsageError, match="GPU 1 was asked for; torch sees 1"):
            compute.torch_device(rank)


def test_auto_takes_a_gpu_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Compute().torch_device() == HOST
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert Compute().torch_device(3) == torch.device("cuda", 3)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_weights() -> None:
    linear = nn.Linear(3, 2)
    with Compute(dtype="bfloat16").autocast(HOST)():
        assert linear(torch.ones(1, 3)).dtype == torch.bfloat16
    with Compute().autocast(HOST)():
        assert linear(torch.ones(1, 3)).dtype == torch.float32
    assert linear.weight.dtype == torch.float32


def test_training_in_bfloat16_learns_and_differs_in_rounding_only() -> None:
    losses = {}
    for dtype in ("float32", "bfloat16"):
        compute = Compute(device="cpu", threads=1, dtype=dtype)
        losses[dtype] = run(TinySearch(epochs=3), compute=compute)[-1].loss
    assert losses["float32"] != losses["bfloat16"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.2)


def test_channels_last_changes_the_layout_and_keeps_the_parameters() -> None:
    network = small_network()
    before = list(network.parameters())
    Compute(channels_last=True).place(network, HOST)
    assert all(a is b for a, b in zip(network.parameters(), before, strict=True))
    conv = network[0]
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    losses = []
    for wanted in (True, False):
        compute = Compute(device="cpu", threads=1, channels_last=wanted)
        algorithm = SingleNetworkTraining(small_network(), recipe(epochs=2))
        losses.append(run(algorithm, compute=compute)[-1].loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def switches() -> tuple[object, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark,
        torch.get_num_threads(),
    )


def test_switches_are_set_for_the_run_and_put_back_after_an_error() -> None:
    before = switches()
    with configured(CPU, HOST):
        assert switches() == (True, True, False, False, 1)
    assert switches() == before
    with pytest.raises(ZeroDivisionError), configured(CPU, HOST):
        raise ZeroDivisionError
    assert switches() == before


def test_what_must_not_be_repeatable_is_left_free() -> None:
    compute = Compute(device="cpu", deterministic=False)
    with configured(compute, HOST):
        assert not torch.are_deterministic_algorithms_enabled()


def test_torchs_generator_is_put_back() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    with configured(CPU, HOST):
        torch.rand(10)
    assert torch.equal(torch.rand(1), expected)


def test_memory_of_the_process_grows_with_what_it_holds() -> None:
    before = peak_memory_mb(HOST)
    held = torch.ones(64 * 2**18)  # 64 MiB
    assert peak_memory_mb(HOST) >= before
    assert before > 50
    del held


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_run_learns_in_bfloat16() -> None:
    compute = Compute(device="cuda", dtype="bfloat16")
    lines = run(TinySearch(epochs=4), compute=compute)
    assert lines[-2].loss < lines[0].loss
    assert lines[-1].memory_mb > 0
