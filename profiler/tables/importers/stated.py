"""What the user states of a file that does not say it: device, runtime, source, constant."""

import re
from dataclasses import dataclass
from typing import Literal

from profiler.tables.importers.base import ForeignTable, damaged
from search.errors import UsageError
from search.table.manifest import DeviceInfo, RuntimeInfo

NOT_STATED = "not stated"
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """Facts from the command line; None where nothing was typed.

    `constant` is what every network costs beside its rows, in the file's unit.

    Raises:
        UsageError: An empty, overlong or unprintable text, or a constant that is no time.
    """

    device_name: str | None = None
    runtime: str | None = None
    source: str | None = None
    constant: float | None = None

    def __post_init__(self) -> None:
        for option, text in (
            ("--device-name", self.device_name),
            ("--runtime", self.runtime),
            ("--source", self.source),
        ):
            if text is not None and not _is_name(text):
                raise UsageError(
                    f"{option} {text!r} is no name.",
                    f"Give up to {_LONGEST} printable characters, some of them letters or digits.",
                )
        if self.constant is not None and not 0 <= self.constant < float("inf"):
            raise UsageError(f"--constant {self.constant} is no time.", "Give 0 or more.")


def _is_name(text: str) -> bool:
    return bool(slug(text)) and text.isprintable() and len(text) <= _LONGEST


def slug(text: str) -> str:
    """Letters and digits of a name in lower case, for a folder's name."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Device, runtime and source of a table, and what every network costs beside its rows."""

    device: DeviceInfo
    runtime: RuntimeInfo
    source: str
    constant: float | None

    @property
    def runtime_slug(self) -> str:
        """The runtime as a part of a folder's name."""
        return slug(self.runtime.name)


def provenance(table: ForeignTable, stated: Stated, published: str, origin: str) -> Provenance:
    """What the file says, and what the user states where it is silent.

    Nothing is assumed: a format is not a device, and one board has a CPU and a GPU.

    Args:
        table: As it was read.
        stated: From the command line.
        published: A sentence on the files that the format's publisher released.
        origin: The file, for messages.

    Raises:
        UsageError: Neither says the device or the runtime, or they contradict each other.
        TableError: The file's own name is none.
    """
    device = _one("--device-name", table.device_name, stated.device_name, origin)
    runtime = _one("--runtime", table.runtime, stated.runtime, origin)
    if device is None or runtime is None:
        asked = {"--device-name": device, "--runtime": runtime}
        missing = [option for option, value in asked.items() if value is None]
        silent = {"--device-name": "its device", "--runtime": "what ran its operators"}
        raise UsageError(
            f"{origin} does not say {' or '.join(silent[option] for option in missing)}.",
            f"State {' and '.join(f'{option} NAME' for option in missing)}. {published}",
        )
    for text in (device, runtime):
        if not _is_name(text):
            raise damaged(origin, f"{text!r} is no name of a device or a runtime")
    if table.constant is not None and stated.constant is not None:
        raise UsageError(
            f"{origin} holds the constant of every network itself.", "Leave out --constant."
        )
    kind: Literal["simulated", "other"] = "simulated" if table.simulated else "other"
    return Provenance(
        device=DeviceInfo(id=slug(device), kind=kind, model=device),
        runtime=RuntimeInfo(name=runtime, version=None, backend=runtime, runner="unknown"),
        source=_one("--source", table.source, stated.source, origin) or NOT_STATED,
        constant=table.constant if stated.constant is None else stated.constant,
    )


def _one(option: str, said: str | None, stated: str | None, origin: str) -> str | None:
    """The file's word or the user's.

    Raises:
        UsageError: Both, and they differ.
    """
    if said is not None and stated is not None and said != stated:
        raise UsageError(
            f"{origin} says {said!r} itself, and {option} says {stated!r}.", f"Leave out {option}."
        )
    return said if said is not None else stated
