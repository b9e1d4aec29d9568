"""Weights of released networks compute here what they compute in their own library.

No library is needed: the names were taken from timm's `fbnetc_100` and mobile-vision's
`fbnet_c` and `dmasking_f1`, and stand here as lists of stages.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from deploy.network import load_weights, seeded_network
from search.architecture import Architecture
from search.errors import UsageError
from search.operators.modules import ConvNorm, InvertedResidual, SqueezeExcite
from search.operators.spec import OperatorSpec
from search.training.weights.load import build_weighted, read_weights
from search.zoo import zoo_architecture

Names = dict[str, str]
# Blocks of each stage that hold weights: skips of equal widths have none.
TIMM_FBNET_C = (1, 3, 4, 4, 4, 4, 1)
TIMM_SPNASNET = (1, 3, 4, 4, 4, 4, 1)
TIMM_EFFICIENTNET_B0 = (1, 2, 2, 3, 3, 4, 1)
VISION_FBNET_C = (
    *("1_0", "2_0", "2_2", "2_3", "3_0", "3_1", "3_2", "3_3"),
    *(f"4_{block}" for block in range(8)),
    *(f"5_{block}" for block in range(5)),
)
VISION_F1 = (
    *("0_0", "1_0", "2_0", "2_1", "3_0", "3_1"),
    *(f"4_{block}" for block in range(6)),
    *("5_0", "5_1", "5_2", "5_3", "6_0"),
)
COUNTER = "num_batches_tracked"


def timm_names(network: Architecture, stages: Sequence[int]) -> Names:
    """Of a network with so many blocks a stage: which layer of timm's is which child of ours."""
    names = {"0.0": "conv_stem", "0.1": "bn1"}
    blocks = (f"blocks.{s}.{b}" for s, number in enumerate(stages) for b in range(number))
    for number, spec in weighted(network.operators):
        if spec.kind == "ir":
            block, child = next(blocks), 0
            convs = ["conv_pw", "conv_dw", "conv_pwl"]
            if not spec.first_pointwise:
                convs = ["conv_dw", "conv_pw"]
            for place, conv in enumerate(convs, 1):
                names[f"{number}.body.{child}.0"] = f"{block}.{conv}"
                names[f"{number}.body.{child}.1"] = f"{block}.bn{place}"
                child += 1
                if conv == "conv_dw" and spec.squeeze_channels:
                    names[f"{number}.body.{child}.reduce"] = f"{block}.se.conv_reduce"
                    names[f"{number}.body.{child}.expand"] = f"{block}.se.conv_expand"
                    child += 1
    head = len(network.operators) - 2
    return {
        **names,
        f"{head}.0": "conv_head",
        f"{head}.1": "bn2",
        f"{head + 1}.2": "classifier",
    }


def vision_names(network: Architecture, places: Sequence[str], last: str) -> Names:
    """Of mobile-vision's networks: which layer of theirs is which child of ours."""
    names: Names = {}
    stem, *middle = list(weighted(network.operators))[:-1]
    for place, (number, spec) in zip(places, (stem, *middle), strict=False):
        block = f"backbone.stages.xif{place}"
        if spec.kind == "ir":
            parts = ["pw"] * spec.first_pointwise + ["dw"] + ["se"] * bool(spec.squeeze_channels)
            for child, part in enumerate((*parts, "pwl")):
                if part == "se":
                    names[f"{number}.body.{child}.reduce"] = f"{block}.se.se.0.conv"
                    names[f"{number}.body.{child}.expand"] = f"{block}.se.se.1"
                else:
                    names[f"{number}.body.{child}.0"] = f"{block}.{part}.conv"
                    names[f"{number}.body.{child}.1"] = f"{block}.{part}.bn"
        else:
            inside = "pw." if place == "6_0" and last else "conv." if number != 0 and last else ""
            names[f"{number}.0"] = f"{block}.{inside}conv"
            names[f"{number}.1"] = f"{block}.{inside}bn"
    end = len(network.operators) - 1
    if last:
        names[f"{end}.2"] = "backbone.stages.xif6_0.pwl.conv"
    names[f"{end}.{4 if last else 2}"] = "head.conv"
    return names


def weighted(operators: Sequence[OperatorSpec]) -> Iterator[tuple[int, OperatorSpec]]:
    return ((n, spec) for n, spec in enumerate(operators) if spec.kind != "skip")


def renamed(module: nn.Module, names: Names, *, linear_as_conv: bool) -> dict[str, Tensor]:
    """A state dict under other names."""
    state = {}
    for name, tensor in module.state_dict().items():
        prefix, _, field = name.rpartition(".")
        as_conv = linear_as_conv and tensor.ndim == 2
        state[f"{names[prefix]}.{field}"] = tensor[:, :, None, None] if as_conv else tensor
    return state


def released(network: Architecture, *, epsilon: float = 1e-5, biases: bool = False) -> nn.Module:
    """A network as a library would run it: with its epsilon, and perhaps biases."""
    module = seeded_network(network.operators, seed=3)
    generator = torch.Generator().manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = epsilon
        if isinstance(layer, InvertedResidual) and biases:
            for child in layer.body:
                if isinstance(child, ConvNorm) and isinstance(child[0], nn.Conv2d):
                    values = torch.randn(child[0].out_channels, generator=generator)
                    child[0].bias = nn.Parameter(values)
    return module


def answers(module: nn.Module) -> Tensor:
    image = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        out: Tensor = module(image)
    return out


def read_back(state: Mapping[str, object], network: Architecture, folder: Path) -> nn.Module:
    torch.save(state, folder / "released.pth")
    weights = read_weights(folder / "released.pth", network.operators)
    return build_weighted(network.operators, weights)


def test_timms_fbnet_c_gives_the_same_answers_with_its_own_epsilon(tmp_path: Path) -> None:
    network = zoo_architecture("FBNet-C-mobile-cv", always_pointwise=True)
    module = released(network, epsilon=1e-3)
    state = renamed(module, timm_names(network, TIMM_FBNET_C), linear_as_conv=False)
    assert len(state) == 392  # as timm's has
    torch.testing.assert_close(answers(read_back(state, network, tmp_path)), answers(module))


@pytest.mark.parametrize(
    ("name", "stages", "tensors", "activated"),
    [
        ("Single-Path-NAS", TIMM_SPNASNET, 386, False),
        ("EfficientNet-B0", TIMM_EFFICIENTNET_B0, 360, True),
    ],
)
def test_other_networks_of_timm_have_the_usual_epsilon_and_perhaps_no_first_convolution(
    tmp_path: Path, name: str, stages: Sequence[int], tensors: int, activated: bool
) -> None:
    network = zoo_architecture(name)
    module = released(network)
    state = renamed(module, timm_names(network, stages), linear_as_conv=False)
    assert len(state) == tensors  # as timm's have
    loaded = answers(read_back(state, network, tmp_path))
    # An EfficientNet's squeeze-excite activates inside as its blocks do.
    assert torch.allclose(loaded, answers(module)) != activated


def test_mobile_visions_fbnet_c_gives_the_same_answers_with_its_biases(tmp_path: Path) -> None:
    network = zoo_architecture("FBNet-C-mobile-cv", always_pointwise=False)
    module = released(network, biases=True)
    names = vision_names(network, ("0_0", *VISION_FBNET_C, "6_0"), "")
    state = renamed(module, names, linear_as_conv=True)
    state = {name: tensor for name, tensor in state.items() if not name.endswith(COUNTER)}
    loaded = read_back({f"module.{n}": t for n, t in state.items()}, network, tmp_path)
    torch.testing.assert_close(answers(loaded), answers(module), rtol=1e-4, atol=1e-4)


def test_mobile_visions_fbnetv2_activates_inside_squeeze_excite_as_its_blocks_do(
    tmp_path: Path,
) -> None:
    network = zoo_architecture("FBNetV2-F1")
    module = released(network)
    names = vision_names(network, VISION_F1, "6_0")
    state = renamed(module, names, linear_as_conv=True)
    loaded = read_back({"model_ema": None, "state_dict": state}, network, tmp_path)
    plain = answers(module)
    assert not torch.allclose(answers(loaded), plain)
    for block, spec in zip(module, network.operators, strict=True):  # type: ignore[call-overload]
        if spec.kind == "ir" and spec.squeeze_channels and spec.activation == "hswish":
            squeeze = next(m for m in block.modules() if isinstance(m, SqueezeExcite))
            lifted = nn.Sequential(squeeze.reduce, nn.Hardswish(), Lifted(squeeze))
            squeeze.reduce = lifted  # type: ignore[assignment]
    torch.testing.assert_close(answers(loaded), answers(module))


class Lifted(nn.Module):
    """Lets values below zero pass the ReLU that follows, and takes the lift off behind it."""

    def __init__(self, squeeze: SqueezeExcite) -> None:
        super().__init__()
        expand = squeeze.expand
        squeeze.expand = nn.Sequential(_Add(-8.0), expand)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return x + 8.0


class _Add(nn.Module):
    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        return x + self.number


def test_such_a_network_is_not_deployed_as_if_it_were_ours(tmp_path: Path) -> None:
    network = zoo_architecture("FBNetV2-F1")
    state = renamed(released(network), vision_names(network, VISION_F1, "6_0"), linear_as_conv=True)
    torch.save(state, tmp_path / "f1.pth")
    with pytest.raises(UsageError, match="activates inside squeeze-excite"):
        load_weights(seeded_network(network.operators), tmp_path / "f1.pth", network.operators)


# --- what is refused ---------------------------------------------------------

MINI = zoo_architecture("FBNet-96-0.35-1")


def refusal(state: dict[str, Tensor], folder: Path, network: Architecture = MINI) -> str:
    torch.save(state, folder / "w.pt")
    with pytest.raises(UsageError) as refused:
        read_weights(folder / "w.pt", network.operators, network.name)
    return str(refused.value)


def _foreign(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"layer{number}.conv": tensor for number, tensor in enumerate(state.values())}


def _classes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    *_, weight, bias = state
    return {**state, weight: state[weight][:5], bias: state[bias][:5]}


def _not_numbers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "0.0.weight": torch.full_like(state["0.0.weight"], math.nan)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_foreign, r"\d+ missing \(such as '[^']+', '[^']+', '[^']+'\), \d+ unknown"),
        (_classes, "tell 5 classes apart, FBNet-96-0.35-1 tells 1000"),
        (_not_numbers, "are NaN"),
    ],
)
def test_unfit_weights_are_refused_with_a_short_reason(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], said: str
) -> None:
    state = dict(seeded_network(MINI.operators).state_dict())
    text = refusal(change(state), tmp_path)
    assert re.search(said, text), text
    assert len(text) < 600
    assert "pickle" not in text.lower()
    assert "weights_only" not in text


def test_weights_of_a_library_for_another_network_are_told_by_its_own_names(
    tmp_path: Path,
) -> None:
    network = zoo_architecture("FBNet-C-mobile-cv", always_pointwise=True)
    state = renamed(released(network), timm_names(network, TIMM_FBNET_C), linear_as_conv=False)
    assert "of 21 blocks, the network has" in refusal(state, tmp_path)
    del state["blocks.0.0.conv_pw.weight"]
    assert "1 missing (such as 'blocks.0.0.conv_pw.weight')" in refusal(state, tmp_path, network)
