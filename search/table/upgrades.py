"""One step for each older manifest schema; `UPGRADES[n]` makes n into n + 1.

A new schema adds its step here and a golden file of the old one under
tests/golden/.

    1 -> 2   imported tables (`origin`), predicted rows (`prediction`,
             `operators_predicted`), and a protocol that may be unknown
"""

from collections.abc import Callable
from typing import Any


def _from_1(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "schema_version": 2}


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
