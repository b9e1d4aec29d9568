"""The version of the installed kit."""

from importlib.metadata import PackageNotFoundError, version


def kit_version() -> str:
    """As its package says; "unknown" where it was never installed."""
    try:
        return version("fbnet-kit")
    except PackageNotFoundError:
        return "unknown"
