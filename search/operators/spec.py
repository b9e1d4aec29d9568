"""OperatorSpec: the frozen identity of one operator at one shape, and its key.

An operator is one block (or one fixed part) of a network, because fusion and
dispatch make sums of single convolutions wrong. Its key spells out all that
changes its speed, and is the only name that tables, artefacts and
architectures use:

    ir_k3_e6_m144_g1_relu_i24_o32_h56_w56_s2_r0_p1_b1_fp32
    uib_d5_k3_e4_m128_relu_i32_o64_h56_w56_s2_r0_b1_fp32
    conv_k3_g1_relu_i3_o16_h224_w224_s2_b1_fp32
    classifier_i1984_o1000_h7_w7_b1_fp32
    classifier_m1984-hswish_i1344_o1000_h7_w7_b1_fp32
    pool_i1152_h5_w5_b1_fp32
    skip_i24_h56_w56_b1_fp32
    empty_b1_fp32

    k kernel   e expansion   m middle channels   g groups of the 1x1
    se squeezed channels and their gate (left out without squeeze-excite)
    m of a classifier: hidden channels after its pool, and their activation
    sa splits and squeezed channels of Split-Attention, as sa2-36, in place of se
    dw depthwise convolutions in a row, as dw-2 (left out where there is one)
    d kernel of a depthwise convolution before the first 1x1; 0 is none, as k0 is
    i, o channels in, out    h, w height and width in    s stride
    r residual add           p first 1x1 present         b batch
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from search.errors import UsageError

# A global average pool of its own only occurs in tables that others published.
KINDS = ("ir", "uib", "conv", "classifier", "pool", "skip", "empty")
ACTIVATIONS = ("relu", "relu6", "hswish", "hswish6", "swish", "none")
GATES = ("hsigmoid", "sigmoid")
DTYPES = ("fp32", "fp16", "int8", "w8")
# No side, no number of channels, no batch is larger; their products are exact counts then.
LARGEST = 2**20
_SHOWN = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSpec:
    """One operator at one shape; equal specs are the same measurement.

    `expansion` is descriptive, `mid_channels` is what is built. `hswish6` is
    h-swish spelled x * relu6(x + 3) / 6, which compilers lower differently
    from the `hswish` operator. More than one of `splits` make squeeze-excite a
    Split-Attention, whose gate is a softmax over the splits. `uib` is
    MobileNetV4's universal inverted bottleneck (arXiv 2404.10518): its
    `start_kernel` and its `kernel` in the middle may each be 0, for none; the
    stride is that of the middle, or else of the start.

    Raises:
        UsageError: The fields contradict each other.
    """

    kind: str
    dtype: str = "fp32"
    batch: int = 1
    kernel: int = 1
    expansion: float = 1.0
    mid_channels: int = 0
    groups: int = 1
    squeeze_channels: int = 0
    gate: str = "hsigmoid"
    splits: int = 1
    depthwise: int = 1
    start_kernel: int = 0
    activation: str = "none"
    in_channels: int = 0
    out_channels: int = 0
    height: int = 0
    width: int = 0
    stride: int = 1
    residual: bool = False
    first_pointwise: bool = True

    def __post_init__(self) -> None:
        for problem, wrong in _CONTRADICTIONS:
            if wrong(self):
                raise UsageError(f"Not a possible operator: {problem} ({self.kind}).")

    @property
    def key(self) -> str:
        """The canonical text; `parse_key` gives this spec back."""
        return _key_of(self)

    def __str__(self) -> str:
        return self.key

    @property
    def out_height(self) -> int:
        """Height of the output for 'same' padding."""
        return -(-self.height // self.stride)

    @property
    def out_width(self) -> int:
        """Width of the output for 'same' padding."""
        return -(-self.width // self.stride)

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Batch, channels, height, width."""
        if self.kind == "empty":
            return (self.batch, 1, 1, 1)
        return (self.batch, self.in_channels, self.height, self.width)

    def with_dtype(self, dtype: str) -> "OperatorSpec":
        """The same operator in another number format."""
        return replace(self, dtype=dtype)

    def with_batch(self, batch: int) -> "OperatorSpec":
        """The same operator on so many images a call."""
        return replace(self, batch=batch)


_CONTRADICTIONS: tuple[tuple[str, Callable[[OperatorSpec], bool]], ...] = (
    ("unknown kind", lambda o: o.kind not in KINDS),
    ("unknown dtype", lambda o: o.dtype not in DTYPES),
    ("unknown activation", lambda o: o.activation not in ACTIVATIONS),
    ("unknown gate", lambda o: o.gate not in GATES),
    ("batch below 1", lambda o: o.batch < 1),
    ("larger than any device computes", lambda o: _largest(o) > LARGEST),
    ("no channels or no pixels", lambda o: o.kind != "empty" and not _has_size(o)),
    ("even kernel", lambda o: not (_is_odd(o.kernel) or (o.kind == "uib" and o.kernel == 0))),
    ("even kernel at the start", lambda o: not (o.start_kernel == 0 or _is_odd(o.start_kernel))),
    ("stride below 1", lambda o: o.stride < 1),
    ("no middle channels", lambda o: o.kind in ("ir", "uib") and o.mid_channels < 1),
    ("middle channels below 0", lambda o: o.mid_channels < 0),
    ("squeezed channels below 0", lambda o: o.squeeze_channels < 0),
    ("splits below 1", lambda o: o.splits < 1),
    ("splits need squeezed channels", lambda o: o.splits > 1 and not o.squeeze_channels),
    ("depthwise convolutions below 1", lambda o: o.depthwise < 1),
    ("splits are of one depthwise convolution", lambda o: o.splits > 1 and o.depthwise > 1),
    (
        "without a depthwise convolution it cannot stride",
        lambda o: o.kind == "uib" and o.stride > 1 and not (o.kernel or o.start_kernel),
    ),
    ("groups do not divide the channels", lambda o: not _groups_divide(o)),
    (
        "a residual add needs stride 1 and equal widths",
        lambda o: o.residual and (o.stride != 1 or o.in_channels != o.out_channels),
    ),
    (
        "without its first 1x1 a block cannot widen",
        lambda o: o.kind == "ir" and not o.first_pointwise and o.mid_channels != o.in_channels,
    ),
    # Two operators of one key would be one row of a table.
    ("its key cannot spell the expansion", lambda o: not _spells(o.expansion)),
    ("its key does not show a field that was given", lambda o: _hides_a_field(o)),
)


def _is_odd(kernel: int) -> bool:
    return kernel >= 1 and kernel % 2 == 1


def _largest(spec: OperatorSpec) -> int:
    sizes = (spec.kernel, spec.start_kernel, spec.stride, spec.groups, spec.splits, spec.batch)
    channels = (spec.in_channels, spec.mid_channels, spec.out_channels, spec.squeeze_channels)
    return max(*sizes, *channels, spec.height, spec.width, spec.depthwise)


def _has_size(spec: OperatorSpec) -> bool:
    out_ok = spec.kind in ("skip", "pool") or spec.out_channels >= 1
    return spec.in_channels >= 1 and spec.height >= 1 and spec.width >= 1 and out_ok


def _groups_divide(spec: OperatorSpec) -> bool:
    if spec.groups < 1:
        return False
    return all(
        channels % spec.groups == 0
        for channels in (spec.in_channels, spec.out_channels, spec.mid_channels)
    )


def _spells(expansion: float) -> bool:
    word = f"{float(expansion):.6g}"
    return bool(_NUMBER.fullmatch(word)) and float(word) == expansion


def _hides_a_field(spec: OperatorSpec) -> bool:
    gated = spec.squeeze_channels and spec.splits == 1
    if not gated and spec.gate != _DEFAULT_GATE:
        return True
    if spec.kind == "classifier" and not spec.mid_channels and spec.activation != "none":
        return True
    return any(getattr(spec, name) != default for name, default in _UNSEEN[spec.kind])


# --- the key's grammar -------------------------------------------------------

_LETTERS = {
    "d": "start_kernel",
    "k": "kernel",
    "e": "expansion",
    "m": "mid_channels",
    "g": "groups",
    "i": "in_channels",
    "o": "out_channels",
    "h": "height",
    "w": "width",
    "s": "stride",
    "r": "residual",
    "p": "first_pointwise",
    "b": "batch",
}
_NUMBER = re.compile(r"(?:0|[1-9]\d*)(?:\.\d*[1-9])?")
# Words that may be left out, with how they are spelled.
_OPTIONAL = {
    "se": re.compile(r"se(?P<squeeze_channels>[1-9]\d*)-(?P<gate>[a-z][a-z0-9]*)"),
    "dw": re.compile(r"dw-(?P<depthwise>[2-9]|[1-9]\d+)"),
    "sa": re.compile(r"sa(?P<splits>[2-9]|[1-9]\d+)-(?P<squeeze_channels>[1-9]\d*)"),
    "m": re.compile(r"m(?P<mid_channels>[1-9]\d*)-(?P<activation>[a-z][a-z0-9]*)"),
}


# A campaign, a table and a search ask for the keys of few operators very often.
@lru_cache(maxsize=1 << 16)
def _key_of(spec: OperatorSpec) -> str:
    return "_".join([spec.kind, *_GRAMMAR[spec.kind].write(spec), spec.dtype])


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The tokens of one kind, in order: letters, `act`, and words that may be left out ("se-")."""

    order: tuple[str, ...]

    def write(self, spec: OperatorSpec) -> list[str]:
        written = []
        for letter in self.order:
            if letter == "act":
                written.append(spec.activation)
            elif letter.endswith("-"):
                written += _write_optional(letter[:-1], spec)
            else:
                value = getattr(spec, _LETTERS[letter])
                written.append(
                    f"{letter}{float(value):.6g}" if letter == "e" else f"{letter}{value:d}"
                )
        return written

    def read(self, words: list[str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        rest = list(words)
        for letter in self.order:
            if letter.endswith("-") and not (rest and rest[0].startswith(letter[:-1])):
                continue
            values |= _read_word(letter, rest.pop(0))
        if rest:
            raise ValueError(f"{rest[0]!r} does not belong here")
        return values


def _write_optional(letter: str, spec: OperatorSpec) -> list[str]:
    if letter == "m":
        return [f"m{spec.mid_channels}-{spec.activation}"] if spec.mid_channels else []
    if letter == "dw":
        return [f"dw-{spec.depthwise}"] if spec.depthwise > 1 else []
    if not spec.squeeze_channels or (letter == "sa") != (spec.splits > 1):
        return []
    if letter == "sa":
        return [f"sa{spec.splits}-{spec.squeeze_channels}"]
    return [f"se{spec.squeeze_channels}-{spec.gate}"]


def _read_optional(letter: str, word: str) -> dict[str, Any]:
    match = _OPTIONAL[letter].fullmatch(word)
    if not match:
        raise ValueError(f"{word!r} is no word of {letter}")
    return {
        name: int(value) if value.isdecimal() else value
        for name, value in match.groupdict().items()
    }


def _read_word(letter: str, word: str) -> dict[str, Any]:
    if letter == "act":
        return {"activation": word}
    if letter.endswith("-"):
        return _read_optional(letter[:-1], word)
    if not word.startswith(letter) or not _NUMBER.fullmatch(word[len(letter) :]):
        raise ValueError(f"{word!r} stands where {letter}<number> belongs")
    number = word[len(letter) :]
    if letter == "e":
        return {"expansion": float(number)}
    if letter in "rp" and number not in "01":
        raise ValueError(f"{word!r} must be 0 or 1")
    return {_LETTERS[letter]: bool(int(number)) if letter in "rp" else int(number)}


_GRAMMAR = {
    "ir": _Tokens(
        ("k", "e", "m", "g", "dw-", "se-", "sa-", "act", "i", "o", "h", "w", "s", "r", "p", "b")
    ),
    "uib": _Tokens(("d", "k", "e", "m", "act", "i", "o", "h", "w", "s", "r", "b")),
    "conv": _Tokens(("k", "g", "act", "i", "o", "h", "w", "s", "b")),
    "classifier": _Tokens(("m-", "i", "o", "h", "w", "b")),
    "pool": _Tokens(("i", "h", "w", "b")),
    "skip": _Tokens(("i", "h", "w", "b")),
    "empty": _Tokens(("b",)),
}
_FIELDS = {
    "act": ("activation",),
    **{f"{word}-": tuple(pattern.groupindex) for word, pattern in _OPTIONAL.items()},
}
_DEFAULT_GATE = OperatorSpec.__dataclass_fields__["gate"].default


def _unseen(tokens: _Tokens) -> tuple[tuple[str, Any], ...]:
    """Fields that a kind's key leaves out, with the values they must have."""
    seen = {"kind", "dtype"}
    for word in tokens.order:
        seen.update(_FIELDS[word] if word in _FIELDS else (_LETTERS[word],))
    return tuple(
        (field.name, field.default) for field in fields(OperatorSpec) if field.name not in seen
    )


_UNSEEN = {kind: _unseen(tokens) for kind, tokens in _GRAMMAR.items()}


@lru_cache(maxsize=2**17)
def parse_key(key: str) -> OperatorSpec:
    """Return the spec whose `key` is exactly this text.

    Raises:
        UsageError: A word is unknown, missing, repeated or not canonical.
    """
    kind, *words = key.split("_")
    try:
        if kind not in _GRAMMAR:
            raise ValueError(f"{kind!r} is no kind of operator")
        if len(words) < 2:
            raise ValueError("it is cut short")
        values = _GRAMMAR[kind].read(words[:-1])
        spec = OperatorSpec(kind=kind, dtype=words[-1], **values)
    except (ValueError, IndexError, UsageError) as error:
        shown = key if len(key) <= _SHOWN else f"{key[:_SHOWN]}..."
        raise UsageError(
            f"{shown!r} is not an operator key: {str(error)[:_SHOWN]}",
            "Keys look like " + EXAMPLE_KEY + ".",
        ) from error
    if spec.key != key:
        raise UsageError(f"{key!r} is not canonical.", f"Write {spec.key}.")
    return spec


EXAMPLE_KEY = "ir_k3_e6_m144_g1_relu_i24_o32_h56_w56_s2_r0_p1_b1_fp32"
FIELD_NAMES = tuple(field.name for field in fields(OperatorSpec))
