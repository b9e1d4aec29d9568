"""Device definitions: passive facts of a device, read from TOML.

A new device is a new file: `devices/<name>.toml` beside this module, or any
path given to `--device`.
"""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search.documents import first_problem, shortened
from search.errors import UsageError
from search.files import read_at_most
from search.table.values import PositiveCount, Threads

_FOLDER = Path(__file__).parent / "devices"


class Device(BaseModel):
    """A device as its file defines it, before it is connected.

    `match` holds shell-style patterns of reported properties, by which an
    agent recognises the device among those attached.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    platform: str
    title: str
    backend: str
    threads: Threads
    dtype: str = "fp32"
    # Lengths of the chains in which operators are timed; empty: each operator alone.
    chains: tuple[PositiveCount, ...] = ()
    match: dict[str, str] = {}
    options: dict[str, Any] = {}


def device_names() -> tuple[str, ...]:
    """Devices that come with the kit."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_device(name: str) -> Device:
    """The device of this name, or of this TOML file.

    Raises:
        UsageError: No such device, or a broken file.
    """
    path = Path(name) if name.endswith(".toml") else _FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and name not in device_names():
        raise UsageError(
            f"Unknown device {name!r}.",
            f"Known: {', '.join(device_names())}; or name a TOML file.",
        )
    try:
        return Device.model_validate(tomllib.loads(read_at_most(path, 2**20).decode("utf-8")))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    except ValidationError as error:
        raise UsageError(f"{path} is not a device file: {first_problem(error)}.") from error
    except (RecursionError, ValueError) as error:
        # Of a number of thousands of digits Python's words advise to change a limit.
        why = "it is nested too deep" if isinstance(error, RecursionError) else shortened(error)
        raise UsageError(f"{path} is not a device file: {why.rstrip('.')}.") from error
