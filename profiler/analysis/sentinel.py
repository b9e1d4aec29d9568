"""Slow windows and drift of a run, from the times of its sentinel operator."""

from collections.abc import Sequence

import numpy as np

THROTTLED = 1.10  # a sentinel this much above its own median marks a slow window


def slow_windows(times_ns: Sequence[int], values_us: Sequence[float]) -> list[tuple[int, int]]:
    """Stretches of time in which the sentinel stayed above its own median.

    A stretch begins where the running median of three is more than
    `THROTTLED` times the overall median; it reaches to the sentinels before
    and after, because nothing is known of what lies between.
    """
    if len(values_us) < 5:
        return []
    times_array = np.asarray(times_ns, dtype=np.int64)
    order = np.argsort(times_array)
    times = times_array[order]
    values = np.asarray(values_us, dtype=np.float64)[order]
    padded = np.concatenate([values[1:2], values, values[-2:-1]])
    smooth = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    slow = smooth > THROTTLED * np.median(values)
    windows: list[tuple[int, int]] = []
    for i in np.flatnonzero(slow).tolist():
        start = int(times[max(i - 1, 0)])
        end = int(times[min(i + 1, len(times) - 1)])
        if windows and start <= windows[-1][1]:
            windows[-1] = (windows[-1][0], max(end, windows[-1][1]))
        else:
            windows.append((start, end))
    return windows


def drift(times_ns: Sequence[int], values_us: Sequence[float]) -> float | None:
    """Relative change of the sentinel over the run: last quarter against first."""
    if len(values_us) < 8:
        return None
    values = np.asarray(values_us, dtype=np.float64)[np.argsort(np.asarray(times_ns))]
    quarter = len(values) // 4
    return float(np.median(values[-quarter:]) / np.median(values[:quarter]) - 1)
