"""A candidate of a layer before it has a shape, and the words that spell it.

    k3_e6   k5_e1_g2   k3_e4_se_hswish   k5_e6_se0.125_sigmoid   k3_e3_sa2   k3_e1_p0
    ib_k3_e4   convnext_k5_e4   extradw_k3_k5_e4_relu6   ffn_e2
    conv_k3   conv_k1_none   skip   skip_1x1

An inverted residual block (FBNet, arXiv 1812.03443, Figure 3) is spelled by kernel and
expansion, then groups (g), depthwise convolutions in a row (dw), squeeze-excite with its
share of the middle channels (se, a quarter where none is said) or Split-Attention (sa and its
splits), gate, activation (ReLU where none is said), and whether the first 1x1 is kept at
expansion 1 (p; else as the space says). MobileNetV4's universal bottleneck (arXiv 2404.10518,
section 4) is spelled by which of its depthwise convolutions it has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from search.errors import UsageError
from search.operators.spec import ACTIVATIONS, GATES, OperatorSpec
from search.spaces.frame import Frame, multiple_of_8

KINDS = ("ir", "uib", "conv", "skip")
QUARTER = 0.25


class Place(NamedTuple):
    """Where a block stands: channels in and out, height and width in, stride."""

    into: int
    out: int
    size: int
    stride: int

    @property
    def keeps_shape(self) -> bool:
        """Whether an identity can stand here."""
        return self.stride == 1 and self.into == self.out


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A candidate without a shape.

    Attributes:
        kind: `ir`, `uib`, `conv` (one dense convolution) or `skip`.
        kernel: Of the depthwise convolution in the middle, or of the dense one; 0 is none (uib).
        expansion: Middle channels by input channels.
        groups: Of both 1x1 convolutions, or of the dense one.
        depthwise: Depthwise convolutions in a row.
        squeeze: Squeezed channels of squeeze-excite by middle channels; 0 is none.
        gate: Of squeeze-excite.
        splits: More than one make squeeze-excite a Split-Attention.
        start_kernel: Depthwise convolution before the first 1x1; 0 is none (uib).
        activation: After every convolution but the last.
        keep_pointwise: Whether the first 1x1 stays at expansion 1; None: as the space says.
        projection: Of a skip: a 1x1 convolution with batch norm where the shape changes.

    Raises:
        UsageError: Fields that this kind of block does not have, or impossible values.
    """

    kind: str
    kernel: int = 3
    expansion: float = 1.0
    groups: int = 1
    depthwise: int = 1
    squeeze: float = 0.0
    gate: str = GATES[0]
    splits: int = 1
    start_kernel: int = 0
    activation: str = "relu"
    keep_pointwise: bool | None = None
    projection: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(
                f"{self.kind!r} is no kind of candidate.", f"Known: {', '.join(KINDS)}."
            )
        own = FIELDS[self.kind]
        for name in self.given:
            if name not in own:
                raise UsageError(
                    f"A candidate of kind {self.kind} has no {name}.", f"It has {', '.join(own)}."
                )
        for problem, wrong in _CONTRADICTIONS:
            if wrong(self):
                raise UsageError(f"{problem}.")

    @property
    def given(self) -> dict[str, Any]:
        """The fields that differ from their defaults, by name; its kind is not among them."""
        return {
            field.name: value
            for field in fields(self)
            if field.name != "kind" and (value := getattr(self, field.name)) != field.default
        }

    @property
    def words(self) -> str:
        """The canonical text; `parse_words` gives this block back."""
        if self.kind == "skip":
            return "skip_1x1" if self.projection else "skip"
        if self.kind == "conv":
            return "_".join(["conv", f"k{self.kernel}", *self._groups(), *self._activation()])
        start = _uib_words(self) if self.kind == "uib" else [f"k{self.kernel}"]
        return "_".join([*start, f"e{self.expansion:.6g}", *self._tail(), *self._activation()])

    def _groups(self) -> list[str]:
        return [f"g{self.groups}"] if self.groups > 1 else []

    def _tail(self) -> list[str]:
        tail = self._groups()
        tail += [f"dw{self.depthwise}"] if self.depthwise > 1 else []
        if self.squeeze:
            tail.append("se" if self.squeeze == QUARTER else f"se{self.squeeze:.6g}")
        tail += [f"sa{self.splits}"] if self.splits > 1 else []
        return tail + ([self.gate] if self.gate != GATES[0] else [])

    def _activation(self) -> list[str]:
        words = [self.activation] if self.activation != "relu" else []
        return words if self.keep_pointwise is None else [*words, f"p{self.keep_pointwise:d}"]

    def operator(self, frame: Frame, place: Place) -> OperatorSpec | None:
        """The operator at a place; None where the block cannot stand.

        That is a skip where the shape changes, and a block without any depthwise convolution
        where the stride is more than 1.

        Raises:
            UsageError: Channels that the groups do not divide, or too many of them.
        """
        if self.kind == "skip":
            return self._skip(frame, place)
        if self.kind == "uib" and place.stride > 1 and not (self.start_kernel or self.kernel):
            return None
        shape: dict[str, Any] = {
            "kind": self.kind,
            "kernel": self.kernel,
            "activation": self.activation,
            "in_channels": place.into,
            "out_channels": place.out,
            "height": place.size,
            "width": place.size,
            "stride": place.stride,
            "batch": frame.batch,
            "dtype": frame.dtype,
        }
        if self.kind == "conv":
            return OperatorSpec(**shape, groups=self.groups)
        mid = round(self.expansion * place.into)
        shape |= {
            "expansion": self.expansion,
            "mid_channels": mid,
            "residual": place.keeps_shape,
        }
        if self.kind == "uib":
            return OperatorSpec(**shape, start_kernel=self.start_kernel)
        keep = frame.always_pointwise if self.keep_pointwise is None else self.keep_pointwise
        return OperatorSpec(
            **shape,
            groups=self.groups,
            depthwise=self.depthwise,
            squeeze_channels=multiple_of_8(mid * self.squeeze) if self.squeeze else 0,
            gate=self.gate,
            splits=self.splits,
            first_pointwise=keep or mid != place.into,
        )

    def _skip(self, frame: Frame, place: Place) -> OperatorSpec | None:
        if place.keeps_shape:
            return frame.identity(place.into, place.size)
        if not self.projection:
            return None
        return frame.conv(1, place.into, place.out, place.size, place.stride, "none")


# What each kind has beside its kind.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "ir": (
        *("kernel", "expansion", "groups", "depthwise", "squeeze", "gate", "splits"),
        *("activation", "keep_pointwise"),
    ),
    "uib": ("start_kernel", "kernel", "expansion", "activation"),
    "conv": ("kernel", "groups", "activation"),
    "skip": ("projection",),
}
_MOST = 1024
_CONTRADICTIONS: tuple[tuple[str, Callable[[Block], bool]], ...] = (
    (
        f"Kernels must be odd numbers up to {_MOST - 1}",
        lambda b: not _is_kernel(b.kernel, b.kind == "uib") or not _is_kernel(b.start_kernel, True),
    ),
    (f"An expansion must lie between 0.05 and {_MOST}", lambda b: not 0.05 <= b.expansion <= _MOST),
    (
        f"Groups, splits and depthwise convolutions must lie between 1 and {_MOST}",
        lambda b: not all(1 <= number <= _MOST for number in (b.groups, b.splits, b.depthwise)),
    ),
    ("A squeeze is a share of the middle channels, up to 1", lambda b: not 0 <= b.squeeze <= 1),
    ("Splits need a squeeze, such as 0.25", lambda b: b.splits > 1 and not b.squeeze),
    ("Splits are of one depthwise convolution", lambda b: b.splits > 1 and b.depthwise > 1),
    (
        "A gate is of squeeze-excite, which is not asked for",
        lambda b: b.gate != GATES[0] and not (b.squeeze and b.splits == 1),
    ),
    (f"A gate is one of {', '.join(GATES)}", lambda b: b.gate not in GATES),
    (
        f"An activation is one of {', '.join(ACTIVATIONS)}",
        lambda b: b.activation not in ACTIVATIONS,
    ),
    # What the words cannot spell could not be read again.
    (
        "Expansion and squeeze have six digits at most",
        lambda b: any(float(f"{number:.6g}") != number for number in (b.expansion, b.squeeze)),
    ),
)


def _is_kernel(kernel: int, may_be_none: bool) -> bool:
    return (may_be_none and kernel == 0) or (1 <= kernel < _MOST and kernel % 2 == 1)


def _uib_words(block: Block) -> list[str]:
    """The name of a universal bottleneck's form, and its kernels."""
    kernels = [f"k{kernel}" for kernel in (block.start_kernel, block.kernel) if kernel]
    form = ("ffn", "ib", "convnext", "extradw")[2 * bool(block.start_kernel) + bool(block.kernel)]
    return [form, *kernels]
