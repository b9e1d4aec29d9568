"""What moves files to a phone and starts the agent app, whatever program does it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# The agent app; a team that signs it under another name says so in its device file.
BUNDLE = "org.fbnet-kit.coreml-agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class IphoneInfo:
    """A phone as it was seen; unknown is None. `model` is Apple's identifier (iPhone10,3)."""

    udid: str
    model: str | None = None
    os: str | None = None
    os_build: str | None = None
    developer_mode: bool | None = None
    paired: bool | None = None


class Transport(Protocol):
    """Files into and out of the agent app's own folder, and its start.

    Places on the phone are relative to the app's `Documents`; no other folder
    is touched.
    """

    name: str

    def phones(self) -> tuple[IphoneInfo, ...]:
        """Phones that are attached.

        Raises:
            DeviceError: The program is missing, or cannot ask.
        """
        ...

    def push(self, phone: IphoneInfo, source: Path, place: str) -> None:
        """Copy a file or a folder to the phone.

        Raises:
            DeviceError, DeviceLost: In plain words.
        """
        ...

    def pull(self, phone: IphoneInfo, place: str, target: Path) -> bool:
        """Copy a file from the phone; False where there is none yet.

        Raises:
            DeviceError, DeviceLost: In plain words.
        """
        ...

    def launch(self, phone: IphoneInfo, *arguments: str) -> None:
        """Start the app anew, ending one that runs.

        Raises:
            DeviceError, DeviceLost: In plain words.
        """
        ...
