"""Weights of a file in the kit's layout, checked against the network that they are for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from search.errors import UsageError
from search.operators.modules import SqueezeExcite, build_network
from search.operators.spec import OperatorSpec
from search.training.weights.layouts import KIT, MOBILE_VISION, TIMM, layout_of, renaming
from search.training.weights.read import read_state_dict

# timm's fbnetc_100 was trained, and is run, with TensorFlow's epsilon of batch norm; its
# weights do not say so, but its head does not occur in any other of timm's networks.
_EPSILON, _EPSILON_FBNETC, _HEAD_FBNETC = 1e-5, 1e-3, 1984
# Activations of blocks that a layout's networks apply inside squeeze-excite too.
_ACTIVATED = {KIT: (), TIMM: ("swish",), MOBILE_VISION: ("hswish", "hswish6", "swish", "relu6")}
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_COUNTER = "num_batches_tracked"
_SHOWN = 3
_OWN = "Give the weights that were trained for it, or the network's own file."


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights of one network by the kit's names; `layout` is that of their file.

    `squeezes_activated` where the network's squeeze-excite applies the activation of its
    block inside, as mobile-vision's does, and the kit's operators do not.
    """

    state: Mapping[str, Tensor]
    layout: str
    squeezes_activated: bool = False


def read_weights(
    path: Path, operators: Sequence[OperatorSpec], name: str = "this network"
) -> Weights:
    """Read the weights of a network; layouts of released FBNets are renamed.

    Where a release has biases before its batch norm, or another epsilon in it, both are
    moved into the running statistics: in evaluation the network is the same.

    Args:
        path: What `torch.save` wrote: a state dict, or a checkpoint that holds one.
        operators: Of the network.
        name: Of the network, for messages.

    Raises:
        UsageError: The file cannot be read, its weights are of another network or of
            other classes, or are not numbers.
    """
    state = read_state_dict(path)
    layout = layout_of(state)
    lost: dict[str, str] = {}
    if layout != KIT:
        state, lost = _renamed(state, layout, operators)
    _require_same(build_empty(operators).state_dict(), state, path, name, lost)
    _require_numbers(state, path)
    inside = _ACTIVATED[layout]
    activated = any(o.squeeze_channels and o.activation in inside for o in operators)
    return Weights(state=state, layout=layout, squeezes_activated=activated)


def build_empty(operators: Sequence[OperatorSpec]) -> nn.Sequential:
    """The network without memory for its weights, to look at names and shapes."""
    with torch.device("meta"):
        return build_network(operators)


def classes_in(path: Path) -> int | None:
    """How many classes the classifier in a file of weights has; None where it has none.

    Raises:
        UsageError: The file cannot be read.
    """
    state = read_state_dict(path)
    last = {TIMM: "classifier.bias", MOBILE_VISION: "head.conv.bias"}.get(layout_of(state))
    bias = state.get(last) if last else list(state.values())[-1]
    return len(bias) if bias is not None and bias.ndim == 1 else None


def build_weighted(operators: Sequence[OperatorSpec], weights: Weights) -> nn.Sequential:
    """The network with these weights, in evaluation mode."""
    module = build_network(operators)
    module.load_state_dict(dict(weights.state))
    if weights.squeezes_activated:
        for block, operator in zip(module, operators, strict=True):
            if operator.kind == "ir" and operator.squeeze_channels:
                _activate_squeeze(block)
    return module.eval()


# --- other layouts -----------------------------------------------------------


def _renamed(
    state: Mapping[str, Tensor], layout: str, operators: Sequence[OperatorSpec]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights by the kit's names, with those that are unknown under their own; and
    the other layout's name of every name of the kit's.
    """
    layers, rest = renaming(layout, state, operators), dict(state)
    fbnetc = layout == TIMM and len(state.get("conv_head.weight", ())) == _HEAD_FBNETC
    epsilon = _EPSILON_FBNETC if fbnetc else _EPSILON
    own: dict[str, Tensor] = {}
    theirs: dict[str, str] = {}

    def take(there: str, here: str) -> None:
        theirs[here] = there
        if there in rest:
            own[here] = rest.pop(there)

    for conv, norm in layers.normalised:
        take(f"{conv.there}.weight", f"{conv.here}.weight")
        for field in _NORM:
            take(f"{norm.there}.{field}", f"{norm.here}.{field}")
        bias = rest.pop(f"{conv.there}.bias", None)
        _absorb(own, norm.here, bias, epsilon)
    for layer in layers.plain:
        for field in ("weight", "bias"):
            take(f"{layer.there}.{field}", f"{layer.here}.{field}")
    number = len(operators) - 1
    for name, tensor in own.items():
        if name.startswith(f"{number}.") and tensor.shape[2:] == (1, 1):
            own[name] = tensor.flatten(1)  # a 1x1 convolution behind the pool is linear
    return {**own, **rest}, theirs


def _absorb(own: dict[str, Tensor], norm: str, bias: Tensor | None, epsilon: float) -> None:
    """Move a bias before batch norm, and another epsilon in it, into its statistics."""
    mean, variance = f"{norm}.running_mean", f"{norm}.running_var"
    if bias is not None and mean in own and bias.shape == own[mean].shape:
        own[mean] = own[mean] - bias
    if variance in own and epsilon != _EPSILON:
        own[variance] = own[variance] + (epsilon - _EPSILON)


class _ActivatedSqueeze(nn.Module):
    """Squeeze-excite with the activation of its block inside."""

    def __init__(self, plain: SqueezeExcite, activation: nn.Module) -> None:
        super().__init__()
        self.reduce, self.expand, self.gate = plain.reduce, plain.expand, plain.gate
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        gate: Tensor = self.gate(self.expand(self.activation(self.reduce(mean))))
        return x * gate


def _activate_squeeze(block: nn.Module) -> None:
    body = block.body
    assert isinstance(body, nn.Sequential)
    first = body[0]
    assert isinstance(first, nn.Sequential)
    for number, child in enumerate(body):
        if isinstance(child, SqueezeExcite):
            body[number] = _ActivatedSqueeze(child, first[2])


# --- what makes weights unfit ------------------------------------------------


def _require_same(
    wanted: Mapping[str, Tensor],
    state: dict[str, Tensor],
    path: Path,
    network: str,
    theirs: Mapping[str, str],
) -> None:
    """Refuse other names and shapes; batch norm's counters, which evaluate nothing, may lack."""
    for name in wanted:
        if name.endswith(_COUNTER) and name not in state:
            state[name] = torch.zeros((), dtype=torch.int64)
    lacking = [theirs.get(name, name) for name in wanted if name not in state]
    strange = [name for name in state if name not in wanted]
    other = [n for n in wanted if n in state and state[n].shape != wanted[n].shape]
    *_, last = wanted
    if not lacking and not strange and last in other and state[last].ndim == 1:
        raise UsageError(
            f"The weights in {path} tell {len(state[last])} classes apart, {network} "
            f"tells {len(wanted[last])}.",
            "Give the network's file that was written beside them.",
        )
    found = [
        f"{len(names)} {what} (such as {', '.join(map(repr, names[:_SHOWN]))})"
        for names, what in (
            (lacking, "missing"),
            (strange, "unknown"),
            ([theirs.get(name, name) for name in other], "of another shape"),
        )
        if names
    ]
    if found:
        raise UsageError(
            f"{path} does not hold weights of {network}: of {len(wanted)}, {', '.join(found)}.",
            _OWN,
        )


def _require_numbers(state: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            what = "NaN" if bool(torch.isnan(tensor).any()) else "infinite"
            raise UsageError(
                f"The weights in {path} are {what} (the first in {name!r}).",
                "Their training diverged: train again with a lower learning rate.",
            )
