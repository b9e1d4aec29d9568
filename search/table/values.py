"""Numbers that a table can hold: finite, and within what a device can do.

The bounds are far outside of anything measured, so that no device is ever refused; inside of
them every product, ratio and square that the kit forms of such values is a number again.
"""

import math
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

# A picosecond, and eleven days.
LEAST_US, MOST_US = 1e-6, 1e12
# Journals and Parquet hold whole numbers of 64 bits.
MOST_COUNT = 2**62
MOST_CLOCK_KHZ = 100_000_000  # 100 GHz
MOST_NUMBER = 1e15
# One, as far as sums of floating-point numbers keep to it.
MOST_CORRELATION = 1 + 1e-9

Finite = Annotated[float, Field(ge=-MOST_NUMBER, le=MOST_NUMBER, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=MOST_NUMBER, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, le=MOST_NUMBER, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Correlation = Annotated[
    float, Field(ge=-MOST_CORRELATION, le=MOST_CORRELATION, allow_inf_nan=False)
]
Factor = Annotated[float, Field(ge=1e-3, le=1e3, allow_inf_nan=False)]
Microseconds = Annotated[float, Field(ge=0, le=MOST_US, allow_inf_nan=False)]
Celsius = Annotated[float, Field(ge=-300, le=10_000, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=MOST_COUNT)]
PositiveCount = Annotated[int, Field(ge=1, le=MOST_COUNT)]
Threads = Annotated[int, Field(ge=1, le=65_536)]
Cpu = Annotated[int, Field(ge=0, le=65_535)]
ClockKhz = Annotated[int, Field(ge=1, le=MOST_CLOCK_KHZ)]


def _moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Moment = Annotated[str, AfterValidator(_moment)]
# A device's id is a folder's name.
FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=200)]


def is_time_us(value: float) -> bool:
    """Whether this can be a time, in microseconds."""
    return LEAST_US <= value <= MOST_US


def number_of(text: str) -> float:
    """A number from its text in a CSV file.

    Raises:
        ValueError: No number, NaN, infinity, or beyond what a table can hold.
    """
    value = float(text)
    if not math.isfinite(value) or abs(value) > MOST_NUMBER or "_" in text:
        raise ValueError(f"{text[:40]!r} is no number that a table can hold")
    return value


def count_of(text: str) -> int:
    """A count from its text in a CSV file.

    Raises:
        ValueError: Not digits alone, or beyond what a table can hold.
    """
    if len(text) > 19 or not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text[:40]!r} is no count")
    value = int(text)
    if value > MOST_COUNT:
        raise ValueError(f"{text} is more than can be counted")
    return value
