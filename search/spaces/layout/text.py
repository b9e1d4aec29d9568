"""A layout as one word of text, from which a space can be rebuilt wherever it is named."""

import re
from collections.abc import Sequence

from search.errors import UsageError
from search.spaces.layout.model import Candidate, Convolution, Layout, StageRow
from search.spaces.layout.words import parse_words

_COUNT = r"[0-9]{1,7}"
_CONVOLUTION = re.compile(rf"k({_COUNT})_o({_COUNT})_s({_COUNT})_([a-z0-9]+)", re.ASCII)
_STAGE = re.compile(rf"o({_COUNT})_n({_COUNT})_s({_COUNT})_([cf])({_COUNT})", re.ASCII)
_HEAD = re.compile(rf"([a-z0-9]+)(?:_m({_COUNT})_([a-z0-9]+))?", re.ASCII)


MOST_CHARACTERS = 2**16


def layout_text(layout: Layout) -> str:
    """All of a layout, in characters that no shell changes; `parse_layout` gives it back."""
    menus = layout.menus
    stem = ",".join(f"k{c.kernel}_o{c.channels}_s{c.stride}_{c.activation}" for c in layout.stem)
    stages = ",".join(
        f"o{s.channels}_n{s.repeats}_s{s.stride}_{'cf'[s.fixed]}{menus.index(s.candidates)}"
        for s in layout.stages
    )
    hidden = f"_m{layout.hidden}_{layout.hidden_activation}" if layout.hidden else ""
    lists = (",".join(candidate.text for candidate in menu) for menu in menus)
    return ":".join((stem, stages, layout.head_activation + hidden, *lists))


def parse_layout(text: str) -> Layout:
    """The layout whose `layout_text` is exactly this.

    Raises:
        UsageError: It is the text of none.
    """
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"A layout of {len(text)} characters has no end.")
    try:
        stem, stages, head, *lists = text.split(":")
        menus = [tuple(_candidate(word) for word in menu.split(",")) for menu in lists]
        words = _HEAD.fullmatch(head)
        if not words:
            raise ValueError("no head")
        layout = Layout(
            stem=tuple(_convolution(word) for word in stem.split(",")),
            stages=tuple(_stage(word, menus) for word in stages.split(",")),
            head_activation=words[1],
            hidden=int(words[2] or 0),
            hidden_activation=words[3] or "relu",
        )
    except (ValueError, IndexError) as error:
        raise UsageError(
            f"{text[:120]!r} is no layout of a space.", "Update the kit, or check the table."
        ) from error
    if layout_text(layout) != text:
        raise UsageError(f"{text[:120]!r} is not canonical.", f"Write {layout_text(layout)}.")
    return layout


def _convolution(word: str) -> Convolution:
    kernel, channels, stride, activation = _matched(_CONVOLUTION, word)
    return Convolution(int(kernel), int(channels), int(stride), activation)


def _stage(word: str, menus: Sequence[tuple[Candidate, ...]]) -> StageRow:
    channels, repeats, stride, kind, menu = _matched(_STAGE, word)
    return StageRow(
        channels=int(channels),
        repeats=int(repeats),
        stride=int(stride),
        candidates=menus[int(menu)],
        fixed=kind == "f",
    )


def _candidate(word: str) -> Candidate:
    name, equals, words = word.partition("=")
    return Candidate(name, parse_words(words if equals else name))


def _matched(pattern: re.Pattern[str], word: str) -> tuple[str, ...]:
    match = pattern.fullmatch(word)
    if not match:
        raise ValueError(word)
    return match.groups()
