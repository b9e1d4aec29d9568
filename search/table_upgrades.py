"""One step for each older manifest schema; `UPGRADES[n]` makes n into n + 1.

There is one schema so far. A new one adds its step here and a golden file of
the old one under tests/golden/.
"""

from collections.abc import Callable
from typing import Any

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
