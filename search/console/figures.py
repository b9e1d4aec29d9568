"""Figures as SVG on a page that needs nothing but a browser."""

import html
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 38
COLOURS = 4
_TINY = 1e-200  # Smaller differences vanish when they are divided.
_STYLE = """
:root { --paper: #ffffff; --ink: #1c1e21; --faint: #62676e; --line: #dfe2e6;
  --c0: #1f6fb4; --c1: #c65d00; --c2: #2b8a57; --c3: #8a4fb0; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e8eaed;
  --faint: #a0a6ae; --line: #33373d; --c0: #6db3f2; --c1: #f5a25d; --c2: #6fcf97;
  --c3: #c79be8; } }
body { margin: 2rem auto; max-width: 1400px; padding: 0 1rem; background: var(--paper);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .2rem; } p { color: var(--faint); margin: 0 0 1.2rem; }
main { display: grid; gap: 1.4rem;
  grid-template-columns: repeat(auto-fit, minmax(min(380px, 100%), 1fr)); }
h2 { font-size: 1.1rem; margin: .6rem 0 0; grid-column: 1 / -1; }
figure { margin: 0; max-width: 760px; } figcaption { font-weight: 600; }
.key { font-weight: 400; color: var(--faint); margin-left: .8em; display: inline-block; }
.key i { display: inline-block; width: 1.1em; height: 3px; margin-right: .35em;
  vertical-align: middle; border-radius: 2px; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--faint); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--line); stroke-width: 1; } .axis { stroke: var(--faint); stroke-width: 1; }
.target { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 5 4; }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
""" + "".join(
    f".s{n} {{ stroke: var(--c{n}); }} .d{n} {{ fill: var(--c{n}); }} "
    f".b{n} {{ background: var(--c{n}); }} "
    f".h{n} {{ fill: none; stroke: var(--c{n}); stroke-width: 2; }}\n"
    for n in range(COLOURS)
)


def page(
    title: str,
    note: str,
    figures: str,
    *,
    refresh_s: float | None = None,
    links: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """A complete HTML page; nothing in it is loaded from elsewhere.

    Args:
        title: Plain text.
        note: Plain text, below the title.
        figures: HTML.
        refresh_s: A page that is served: loaded again after so many seconds.
        links: Its numbers as CSV: what they are of, and their addresses.
    """
    name = html.escape(title)
    refresh = "" if refresh_s is None else f'<meta http-equiv="refresh" content="{refresh_s:g}">'
    link = "".join(
        f'; <a href="{html.escape(address)}">CSV of {html.escape(what)}</a>'
        for what, address in links.items()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}
<style>{_STYLE}</style></head>
<body><h1>{name}</h1><p>{html.escape(note)}{link}</p>
<main>
{figures}
</main></body></html>
"""


def heading(text: str) -> str:
    """A heading above the figures that follow; plain text."""
    return f"<h2>{html.escape(text)}</h2>"


def upright_target(value: float, across: "Axis", word: str = "target ") -> str:
    """A line at a value of the lower axis that is to be met, with `word` and value above it."""
    x = across.at(value)
    beside = WIDTH - RIGHT - x
    side = "middle" if min(x - LEFT, beside) > 40 else "end" if beside < 40 else "start"
    return (
        f'<line class="target" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text x="{x:.1f}" y="{TOP - 2}" text-anchor="{side}">{word}{value:g}</text>'
    )


def frame(across: "Axis", up: "Axis", name: str) -> str:
    """Grid, tick labels and the name of the lower axis, plain text."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick in up.ticks:
        y = up.at(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{up.label(tick)}</text>'
        )
    for tick in across.ticks:
        x = across.at(tick)
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{across.label(tick)}</text>'
        )
    middle = (LEFT + right) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">{html.escape(name)}</text>'
    )
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    return "".join(parts)


class Axis:
    """Values to pixels, with ticks at round numbers inside the range of the values."""

    def __init__(
        self, values: Sequence[float], begin: float, end: float, *, whole: bool = False
    ) -> None:
        low, high = _apart(min(values), max(values))
        self._low, self._high, self._begin, self._end = low, high, begin, end
        self._step = _round_step((high - low) / 5, whole)
        first, last = math.ceil(low / self._step - 1e-9), math.floor(high / self._step + 1e-9)
        self.ticks = [number * self._step for number in range(first, last + 1)]

    def at(self, value: float) -> float:
        """Pixel of a value."""
        share = (value - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)

    def label(self, tick: float) -> str:
        """As many digits as the distance of the ticks needs."""
        digits = max(0, -math.floor(math.log10(self._step)))
        return f"{tick:.{digits}f}" if digits < 6 else f"{tick:.1e}"


def _apart(low: float, high: float) -> tuple[float, float]:
    """A range that can be divided: values that hardly differ are drawn in its middle."""
    size = max(abs(low), abs(high))
    if high - low > max(size * 1e-9, _TINY):
        return low, high
    around = size * 0.5 if size > _TINY else 0.5
    return low - around, high + around


def _round_step(about: float, whole: bool) -> float:
    """1, 2 or 5 times a power of ten, at least `about`."""
    scale: float = 10.0 ** math.floor(math.log10(about))
    step = next(factor * scale for factor in (1, 2, 5, 10) if factor * scale >= about * (1 - 1e-9))
    return max(step, 1.0) if whole else step
