"""Operators as torch modules; what is trained, timed and deployed is built here alone.

An operator becomes convolutions with batch norm and activation, in the order
of FBNet (arXiv 1812.03443) Figure 3: 1x1, channel shuffle when grouped, k x k
depthwise, squeeze-excite, 1x1 without activation, residual add. With several
splits, Split-Attention stands for depthwise and squeeze-excite.
"""

import functools
import operator
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from search.errors import UsageError
from search.operators.spec import OperatorSpec


class HardSwishByRelu6(nn.Module):
    """h-swish spelled x * relu6(x + 3) / 6, as many released models do.

    With whole numbers for 3.0 and 6.0 XNNPACK's lowering would leave casts outside.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape is kept."""
        return x * nn.functional.relu6(x + 3.0) / 6.0


_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hswish": nn.Hardswish,
    "hswish6": HardSwishByRelu6,
    "swish": nn.SiLU,
    "none": nn.Identity,
}
_GATES: dict[str, Callable[[], nn.Module]] = {"hsigmoid": nn.Hardsigmoid, "sigmoid": nn.Sigmoid}


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm, activation; 'same' padding."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: str = "none",
    ) -> None:
        conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        layers = [conv, nn.BatchNorm2d(out_channels)]
        if activation != "none":
            layers.append(_ACTIVATIONS[activation]())
        super().__init__(*layers)


class ChannelShuffle(nn.Module):
    """Interleave the channels of the groups, so that groups can mix."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """Shape is kept; every size is static so that exporters can fold it."""
        batch, channels, height, width = x.shape
        x = x.view(batch, self.groups, channels // self.groups, height, width)
        return x.transpose(1, 2).reshape(batch, channels, height, width)


class SqueezeExcite(nn.Module):
    """Scale channels by a gate computed from their means."""

    def __init__(self, channels: int, squeezed: int, gate: str) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = _GATES[gate]()

    def forward(self, x: Tensor) -> Tensor:
        """Shape is kept."""
        mean = x.mean((2, 3), keepdim=True)
        gate: Tensor = self.gate(self.expand(nn.functional.relu(self.reduce(mean))))
        return x * gate


class SplitAttention(nn.Module):
    """Several depthwise convolutions, mixed channel by channel by a softmax over them.

    ResNeSt (arXiv 2004.08955), section 3, as FP-NAS (arXiv 2011.10949), Figure
    2, puts it in place of depthwise and squeeze-excite: the gate is computed
    from the means of the sum of all splits. One split would be squeeze-excite,
    whose gate is a sigmoid. As in ours, and unlike in ResNeSt's release, no
    batch norm stands behind `reduce`.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        *,
        splits: int,
        squeezed: int,
        stride: int,
        activation: str,
    ) -> None:
        super().__init__()
        self.splits = nn.ModuleList(
            ConvNorm(
                channels, channels, kernel, stride=stride, groups=channels, activation=activation
            )
            for _ in range(splits)
        )
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.ModuleList(nn.Conv2d(squeezed, channels, 1) for _ in range(splits))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, h, w) to (batch, channels, h / stride, w / stride)."""
        maps = [split(x) for split in self.splits]
        total = functools.reduce(operator.add, maps)
        squeezed = nn.functional.relu(self.reduce(total.mean((2, 3), keepdim=True)))
        shares = self._shares([expand(squeezed) for expand in self.expand])
        mixed: Tensor = functools.reduce(operator.add, map(operator.mul, maps, shares))
        return mixed

    @staticmethod
    def _shares(logits: list[Tensor]) -> list[Tensor]:
        """Softmax over the splits, (batch, channels, 1, 1) each."""
        batch, channels, _, _ = logits[0].shape
        rows = torch.cat([each.view(batch, channels, 1) for each in logits], 2).softmax(2)
        return [
            rows[:, :, number : number + 1].view(batch, channels, 1, 1)
            for number in range(len(logits))
        ]


class InvertedResidual(nn.Module):
    """One `ir` operator."""

    def __init__(self, spec: OperatorSpec) -> None:
        super().__init__()
        mid = spec.mid_channels
        layers: list[nn.Module] = []
        if spec.first_pointwise:
            layers.append(
                ConvNorm(spec.in_channels, mid, 1, groups=spec.groups, activation=spec.activation)
            )
        if spec.groups > 1:
            layers.append(ChannelShuffle(spec.groups))
        layers += _depthwise(spec)
        layers.append(ConvNorm(mid, spec.out_channels, 1, groups=spec.groups))
        self.body = nn.Sequential(*layers)
        self.residual = spec.residual

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, h, w) to (batch, out, h / stride, w / stride)."""
        y: Tensor = self.body(x)
        return x + y if self.residual else y


def _depthwise(spec: OperatorSpec) -> list[nn.Module]:
    """The k x k convolution and what gates it."""
    mid = spec.mid_channels
    if spec.splits > 1:
        return [
            SplitAttention(
                mid,
                spec.kernel,
                splits=spec.splits,
                squeezed=spec.squeeze_channels,
                stride=spec.stride,
                activation=spec.activation,
            )
        ]
    plain = [
        ConvNorm(
            mid,
            mid,
            spec.kernel,
            stride=spec.stride if number == 0 else 1,
            groups=mid,
            activation=spec.activation,
        )
        for number in range(spec.depthwise)
    ]
    if not spec.squeeze_channels:
        return list(plain)
    return [*plain, SqueezeExcite(mid, spec.squeeze_channels, spec.gate)]


class UniversalBottleneck(nn.Module):
    """One `uib` operator: MobileNetV4's universal inverted bottleneck.

    Source: MobileNetV4 (arXiv 2404.10518), Figure 4: depthwise at the start,
    1x1, depthwise in the middle, 1x1. Neither the start nor the last 1x1 has an
    activation; without the start it is an inverted residual, without the middle
    ConvNeXt's block, with both extra depthwise, with neither a feed-forward.
    """

    def __init__(self, spec: OperatorSpec) -> None:
        super().__init__()
        into, mid, act = spec.in_channels, spec.mid_channels, spec.activation
        layers: list[nn.Module] = []
        if spec.start_kernel:
            stride = 1 if spec.kernel else spec.stride
            layers.append(ConvNorm(into, into, spec.start_kernel, stride=stride, groups=into))
        layers.append(ConvNorm(into, mid, 1, activation=act))
        if spec.kernel:
            layers.append(
                ConvNorm(mid, mid, spec.kernel, stride=spec.stride, groups=mid, activation=act)
            )
        layers.append(ConvNorm(mid, spec.out_channels, 1))
        self.body = nn.Sequential(*layers)
        self.residual = spec.residual

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in, h, w) to (batch, out, h / stride, w / stride)."""
        y: Tensor = self.body(x)
        return x + y if self.residual else y


def _conv(spec: OperatorSpec) -> nn.Module:
    return ConvNorm(
        spec.in_channels,
        spec.out_channels,
        spec.kernel,
        stride=spec.stride,
        groups=spec.groups,
        activation=spec.activation,
    )


def _classifier(spec: OperatorSpec) -> nn.Module:
    hidden: list[nn.Module] = []
    if spec.mid_channels:
        hidden.append(nn.Linear(spec.in_channels, spec.mid_channels, bias=False))
        if spec.activation != "none":
            hidden.append(_ACTIVATIONS[spec.activation]())
    last = nn.Linear(spec.mid_channels or spec.in_channels, spec.out_channels)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *hidden, last)


def _nothing(_: OperatorSpec) -> nn.Module:
    return nn.Identity()


_BUILDERS: dict[str, Callable[[OperatorSpec], nn.Module]] = {
    "ir": InvertedResidual,
    "uib": UniversalBottleneck,
    "conv": _conv,
    "classifier": _classifier,
    "skip": _nothing,
    "empty": _nothing,
}


def build_operator(spec: OperatorSpec) -> nn.Module:
    """The module of one operator, in training mode, with fresh weights.

    Raises:
        UsageError: No builder for this kind.
    """
    if spec.kind not in _BUILDERS:
        raise UsageError(f"No module is known for {spec.key}.")
    return _BUILDERS[spec.kind](spec)


def build_network(operators: Sequence[OperatorSpec]) -> nn.Sequential:
    """The operators in order; child `i` is operator `i`, skips included."""
    return nn.Sequential(*(build_operator(operator) for operator in operators))


def example_input(operators: Sequence[OperatorSpec], seed: int = 0) -> Tensor:
    """A seeded input in [-1, 1) in the memory order that a phone would see.

    An image arrives plain (NCHW). What stands between two operators lies
    channels-last, as the runtime keeps it inside a network, so that an
    operator timed alone pays no boundary transposes. (A classifier alone
    does: its flattening of a channels-last pool is not delegated. That cost
    is the same for every network.)
    """
    first = operators[0]
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(first.input_shape, generator=generator) * 2 - 1
    if first.kind in ("empty", "classifier") or first.in_channels <= 4:
        return x
    return x.contiguous(memory_format=torch.channels_last)
