"""Durations as typed: 90s, 10m, 1.5h."""

import re

from search.errors import UsageError

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smh])")
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str, option: str, least_s: float, most_s: float) -> float:
    """Seconds of a duration.

    Args:
        text: As typed.
        option: Of which it is the value, for the message.
        least_s: The shortest that means something.
        most_s: The longest.

    Raises:
        UsageError: No duration, or one out of these bounds.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not match or not least_s <= seconds <= most_s:
        raise UsageError(
            f"{option} {text[:40]!r} is no duration from {_words(least_s)} to {_words(most_s)}.",
            "Write 90s, 10m or 1.5h.",
        )
    return seconds


def _words(seconds: float) -> str:
    unit = "h" if seconds % 3600 == 0 else "m" if seconds % 60 == 0 else "s"
    return f"{seconds / _UNITS_S[unit]:g}{unit}"
