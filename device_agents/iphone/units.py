"""Compute units of Core ML, and which iPhones have them."""

import re

from search.errors import UsageError

PREFIX = "coreml-"
# Where a program may run when so many units are asked for, as placements name them.
PLACES = {
    "cpu_only": frozenset({"cpu"}),
    "cpu_and_gpu": frozenset({"cpu", "gpu"}),
    "cpu_and_ne": frozenset({"cpu", "ne"}),
}
# Core ML may use the Neural Engine from the A12 on: iPhone11 in Apple's identifiers. The
# A11's (iPhone10: iPhone 8 and X) serves Face ID and the camera alone.
_FIRST_WITH_NEURAL_ENGINE = 11
_MODEL = re.compile(r"iPhone(\d+)")


def compute_unit(backend: str) -> str:
    """The compute unit in a backend's name.

    Raises:
        UsageError: Not a backend of iPhones.
    """
    unit = backend.removeprefix(PREFIX)
    if not backend.startswith(PREFIX) or unit not in PLACES:
        known = ", ".join(PREFIX + name for name in PLACES)
        raise UsageError(f"An iPhone cannot run the backend {backend!r}.", f"It knows {known}.")
    return unit


def check_unit(backend: str, models: str) -> None:
    """Refuse a unit that a phone lacks.

    Args:
        backend: Such as coreml-cpu_and_ne.
        models: Apple's identifier of a phone (iPhone10,3), or a device file's pattern of several.

    Raises:
        UsageError: Not a backend of iPhones, or none of these phones has the unit.
    """
    unit = compute_unit(backend)
    generations = [int(number) for number in _MODEL.findall(models)]
    if unit != "cpu_and_ne" or not generations:
        return
    if max(generations) < _FIRST_WITH_NEURAL_ENGINE:
        raise UsageError(
            f"{models.replace('|', ' and ')}: the Neural Engine of this chip is not open to "
            "Core ML (it is from the A12 on).",
            "Give --backend coreml-cpu_only or coreml-cpu_and_gpu.",
        )
