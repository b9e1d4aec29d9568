"""Whether a runner runs on the cores that were chosen for it, by the user or by a phone's agent."""

from search.errors import DeviceError


def check_pinning(asked: tuple[int, ...] | None, observed: tuple[int, ...] | None) -> None:
    """Refuse to measure on other cores than those chosen; one rule for all agents.

    A runner that could not be pinned measures something else, and says nothing of it.

    Raises:
        DeviceError: Both are known and differ.
    """
    if asked is None or observed is None or set(asked) == set(observed):
        return
    raise DeviceError(
        f"The runner was to run on the cores {_listed(asked)}, and runs on {_listed(observed)}.",
        "Give --affinity cores that the device has and lets be chosen, or --affinity none.",
    )


def _listed(cores: tuple[int, ...]) -> str:
    return ", ".join(map(str, sorted(cores))) or "none"
