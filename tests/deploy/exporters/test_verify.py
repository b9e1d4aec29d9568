"""What is exported is compared with torch before anyone may time it."""

import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="modules are torch's")

import torch

from deploy.artefact import ExportSpec
from deploy.exporters.error_limits import ErrorLimit
from deploy.exporters.verify import export_and_verify, largest_error, rms_error
from deploy.network import fold_batch_norm, load_weights, seeded_network
from search.errors import ExportError, UsageError
from search.operators.modules import example_input
from search.operators.spec import parse_key

KEYS = (
    "conv_k3_g1_relu_i3_o8_h10_w10_s2_b1_fp32",
    "ir_k3_e3_m24_g1_relu_i8_o8_h5_w5_s1_r1_p1_b1_fp32",
    "classifier_i8_o4_h5_w5_b1_fp32",
)
OPERATORS = tuple(map(parse_key, KEYS))
SPEC = ExportSpec(name="small", operators=OPERATORS)


class Exporter:
    """Keeps the module it is given, as a runtime would keep its program."""

    def __init__(self, spoil: Any = lambda y: y) -> None:
        self.spoil = spoil

    def export(self, module: Any, example: Any) -> bytes:
        self.module = module
        return b"file"

    def run(self, content: bytes, example: Any) -> Any:
        assert content == b"file"
        return self.spoil(self.module(example))

    def build(self, spec: ExportSpec = SPEC, limit: float = 1e-4) -> Any:
        return export_and_verify(spec, self.export, self.run, ErrorLimit("largest_error", limit))


def test_a_faithful_file_passes_with_its_error() -> None:
    exported = Exporter().build()
    assert exported.content == b"file"
    assert 0 <= exported.relative_error < 1e-5


@pytest.mark.parametrize(
    "spoil",
    [
        lambda y: y * 1.01,
        lambda y: y + 1e-2,
        lambda y: y.roll(1),
        lambda y: y * float("nan"),
        lambda y: torch.cat([y[:, :-1], y[:, -1:] * float("nan")], 1),
        lambda y: y / 0,
        lambda y: y[:, :-1],
        lambda y: y[0],
        lambda y: torch.zeros_like(y),
    ],
)
def test_a_file_that_computes_something_else_is_refused(spoil: Any) -> None:
    with pytest.raises(ExportError, match="something else than small: relative error") as raised:
        Exporter(spoil).build()
    assert "Report" in raised.value.remedy


def test_the_limit_decides() -> None:
    assert 0.009 < Exporter(lambda y: y * 1.01).build(limit=0.02).relative_error < 0.011


def test_an_error_is_relative_to_the_largest_magnitude() -> None:
    expected = torch.tensor([1.0, -4.0])
    assert largest_error(torch.tensor([1.0, -3.0]), expected) == pytest.approx(0.25)
    assert largest_error(expected, expected) == 0
    assert largest_error(torch.ones(1), expected) == float("inf")


def test_the_error_of_quantised_files_is_a_root_mean_square() -> None:
    expected = torch.tensor([3.0, 4.0])
    assert rms_error(torch.tensor([3.0, 3.0]), expected) == pytest.approx(0.2)
    assert rms_error(expected * 1.5, expected) == pytest.approx(0.5)
    assert rms_error(torch.ones(1), expected) == float("inf")


def test_errors_of_a_silent_output_are_finite_or_judged() -> None:
    silent = torch.zeros(3)
    assert largest_error(silent, silent) == 0
    assert rms_error(silent, silent) == 0
    assert largest_error(torch.ones(3), silent) > 1e6


def test_weights_are_what_is_exported(tmp_path: Path) -> None:
    exporter = Exporter()
    exporter.build()
    seeded = exporter.module(example_input(OPERATORS))
    exporter.build(replace(SPEC, weights=saved(tmp_path / "weights.pt", seed=7)))
    assert not torch.allclose(exporter.module(example_input(OPERATORS)), seeded, rtol=1e-2)


def saved(path: Path, seed: int) -> Path:
    torch.save(seeded_network(OPERATORS, seed).state_dict(), path)
    return path


def test_weights_that_were_saved_come_back(tmp_path: Path) -> None:
    network = seeded_network(OPERATORS)
    load_weights(network, saved(tmp_path / "weights.pt", seed=7), OPERATORS)
    x = example_input(OPERATORS)
    assert torch.equal(network(x), seeded_network(OPERATORS, 7)(x))


class Bomb:
    def __reduce__(self) -> Any:
        return (open, (str(Bomb.fuse), "w"))

    fuse: Path


def test_weights_never_execute_what_their_file_holds(tmp_path: Path) -> None:
    Bomb.fuse = tmp_path / "went off"
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps({"weight": Bomb()}, protocol=2))
    with pytest.raises(UsageError, match=r"bomb\.pt does not hold weights"):
        load_weights(seeded_network(OPERATORS), tmp_path / "bomb.pt", OPERATORS)
    assert not Bomb.fuse.exists()


@pytest.mark.parametrize("what", ["absent", "garbage", "another network", "cut short"])
def test_what_are_no_weights_of_this_network_is_told(what: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    if what == "garbage":
        path.write_bytes(b"garbage")
    if what == "another network":
        torch.save(seeded_network(OPERATORS[:1]).state_dict(), path)
    if what == "cut short":
        path.write_bytes(saved(path, 0).read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"weights\.pt does not hold weights of this network"):
        load_weights(seeded_network(OPERATORS), path, OPERATORS)


def test_reasons_are_short_and_advise_nothing_unsafe(tmp_path: Path) -> None:
    network, path = seeded_network(OPERATORS), tmp_path / "weights.pt"
    torch.save({"optimizer": Bomb}, path)
    messages = []
    for content in (None, {}, [1.0], {"a": torch.zeros(1)}, {"state_dict": {"a": 1}}):
        if content is not None:
            torch.save(content, path)
        with pytest.raises(UsageError, match="does not hold weights of this network") as caught:
            load_weights(network, path, OPERATORS)
        messages.append(str(caught.value))
    assert all(len(message) < 500 + len(str(path)) for message in messages)
    assert not any("weights_only" in message for message in messages)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("inside", [None, "state_dict", "model"])
def test_checkpoints_and_prefixes_of_training_are_understood(
    tmp_path: Path, prefix: str, inside: str | None
) -> None:
    state = {f"{prefix}{n}": t for n, t in seeded_network(OPERATORS, 7).state_dict().items()}
    torch.save({inside: state, "epoch": 3} if inside else state, tmp_path / "weights.pt")
    network, x = seeded_network(OPERATORS), example_input(OPERATORS)
    load_weights(network, tmp_path / "weights.pt", OPERATORS)
    assert torch.equal(network(x), seeded_network(OPERATORS, 7)(x))


@pytest.mark.parametrize(("value", "word"), [(math.nan, "NaN"), (math.inf, "infinite")])
def test_weights_that_are_no_numbers_are_said_to_be(
    tmp_path: Path, value: float, word: str
) -> None:
    state = seeded_network(OPERATORS).state_dict()
    name = next(name for name, tensor in state.items() if tensor.is_floating_point())
    state[name].view(-1)[0] = value
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(UsageError, match=f"are {word}.*{name}"):
        load_weights(seeded_network(OPERATORS), tmp_path / "weights.pt", OPERATORS)


def test_a_network_depends_on_its_seed_alone() -> None:
    x = example_input(OPERATORS)
    torch.manual_seed(1)
    first = seeded_network(OPERATORS)(x)
    torch.manual_seed(2)
    assert torch.equal(seeded_network(OPERATORS)(x), first)
    assert not torch.equal(seeded_network(OPERATORS, seed=1)(x), first)


def test_folding_batch_norm_removes_it_and_changes_no_output() -> None:
    network, x = seeded_network(OPERATORS), example_input(OPERATORS)
    with torch.no_grad():
        expected = network(x)
        folded = fold_batch_norm(network)
        assert largest_error(folded(x), expected) < 1e-5
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())


def test_a_batch_norm_that_is_left_out_would_be_noticed() -> None:
    def without_norm(module: Any, example: Any) -> bytes:
        for part in module.modules():
            if isinstance(part, torch.nn.Conv2d) and part.bias is not None:
                part.bias = None
        return exporter.export(module, example)

    exporter = Exporter()
    with pytest.raises(ExportError, match="something else"):
        export_and_verify(SPEC, without_norm, exporter.run, ErrorLimit("largest_error", 1e-4))
