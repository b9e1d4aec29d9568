"""Blocks from the words that spell them (`search.spaces.layout.block`)."""

import difflib
import re
from typing import Any

from search.errors import UsageError
from search.operators.spec import ACTIVATIONS, GATES
from search.spaces.layout.block import QUARTER, Block

EXAMPLES = (
    *("k3_e1", "k3_e3", "k3_e6", "k5_e3", "k5_e6", "k3_e1_g2", "k3_e6_se", "k5_e6_se_hswish"),
    *("ib_k3_e4", "convnext_k3_e4", "extradw_k3_k5_e4", "ffn_e4", "conv_k3", "skip", "skip_1x1"),
)
# What a slip of the hand is compared with.
_COMMON = tuple(
    f"k{kernel}_e{expansion}{rest}"
    for kernel in (3, 5, 7)
    for expansion in (1, 2, 3, 4, 6)
    for rest in ("", "_se", "_hswish", "_se_hswish", "_g2")
)
_NUMBER = r"(?:0|[1-9]\d{0,5})(?:\.\d{0,5}[1-9])?"
_E = rf"_e(?P<expansion>{_NUMBER})"
_G = r"(?:_g(?P<groups>[1-9]\d{0,5}))?"
_ACTIVATION = rf"(?:_(?P<activation>{'|'.join(ACTIVATIONS)}))?"
_FORMS: tuple[tuple[str, dict[str, Any], re.Pattern[str]], ...] = tuple(
    (kind, given, re.compile(pattern))
    for kind, given, pattern in (
        ("skip", {}, r"skip(?P<projection>_1x1)?"),
        ("conv", {}, r"conv_k(?P<kernel>\d{1,6})" + _G + _ACTIVATION),
        ("uib", {}, r"ib_k(?P<kernel>\d{1,6})" + _E + _ACTIVATION),
        ("uib", {"kernel": 0}, r"convnext_k(?P<start_kernel>\d{1,6})" + _E + _ACTIVATION),
        (
            "uib",
            {},
            r"extradw_k(?P<start_kernel>\d{1,6})_k(?P<kernel>\d{1,6})" + _E + _ACTIVATION,
        ),
        ("uib", {"kernel": 0}, "ffn" + _E + _ACTIVATION),
        (
            "ir",
            {},
            r"k(?P<kernel>\d{1,6})"
            + _E
            + _G
            + r"(?:_dw(?P<depthwise>[1-9]\d{0,5}))?"
            + rf"(?:_se(?P<squeeze>{_NUMBER})?(?P<se>))?(?:_sa(?P<splits>[1-9]\d{{0,5}}))?"
            + rf"(?:_(?P<gate>{'|'.join(GATES)}))?{_ACTIVATION}(?:_p(?P<keep_pointwise>[01]))?",
        ),
    )
)


def parse_words(words: str) -> Block:
    """The block that these words spell.

    Raises:
        UsageError: They spell none; names the nearest ones that do.
    """
    for kind, given, pattern in _FORMS:
        match = pattern.fullmatch(words)
        if match:
            block = Block(kind=kind, **given, **_values(match.groupdict()))
            if block.words != words:
                raise UsageError(f"{words!r} is not canonical.", f"Write {block.words}.")
            return block
    near = difflib.get_close_matches(words, (*EXAMPLES, *_COMMON), 1, 0.6)
    hint = f"The nearest is {near[0]}." if near else f"Write {', '.join(EXAMPLES)} and the like."
    raise UsageError(f"{words[:80]!r} is no candidate.", hint)


def _values(found: dict[str, str | None]) -> dict[str, Any]:
    squeezes = found.pop("se", None) is not None
    values: dict[str, Any] = {
        name: _read(name, text) for name, text in found.items() if text is not None
    }
    if squeezes:
        values.setdefault("squeeze", QUARTER)
    return values


def _read(name: str, text: str) -> object:
    if name in ("gate", "activation"):
        return text
    if name in ("expansion", "squeeze"):
        return float(text)
    if name == "projection":
        return True
    return text == "1" if name == "keep_pointwise" else int(text)
