"""Transport protocol: copies files to and from a phone, and starts the agent app."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# The agent app; a team that signs it under another name gives that in its device file.
BUNDLE = "org.fbnet-kit.coreml-agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class IphoneInfo:
    """A phone that a program lists; unknown is None.

    `model` is Apple's identifier (iPhone10,3); `unavailable` says why the phone
    cannot be used now; `attached` tells that it is reached by some way.
    """

    udid: str
    model: str | None = None
    os: str | None = None
    os_build: str | None = None
    developer_mode: bool | None = None
    paired: bool | None = None
    attached: bool | None = None
    developer_services: bool | None = None
    unavailable: str | None = None

    @property
    def os_major(self) -> int | None:
        """The system's first number, such as 16."""
        first = (self.os or "").partition(".")[0]
        return int(first) if first.isdigit() else None


class IphoneTransport(Protocol):
    """Files into and out of the agent app's own folder, and its start.

    Remote paths are relative to the app's `Documents`; no other folder is
    touched.
    """

    name: str

    def version(self) -> str:
        """The version of the program that is called.

        Raises:
            DeviceError: It is missing or too old.
        """
        ...

    def phones(self) -> tuple[IphoneInfo, ...]:
        """Phones that the program lists, those that cannot be used now with the reason.

        Raises:
            DeviceError: The program is missing or fails.
        """
        ...

    def push(self, phone: IphoneInfo, source: Path, remote_path: str) -> None:
        """Copy a file or a folder to the phone.

        Raises:
            DeviceError, DeviceLost: The copy failed.
        """
        ...

    def pull(self, phone: IphoneInfo, remote_path: str, target: Path) -> bool:
        """Copy a file from the phone; False where there is none yet.

        Raises:
            DeviceError, DeviceLost: The copy failed.
        """
        ...

    def launch(self, phone: IphoneInfo, *arguments: str) -> None:
        """Start the app, ending one that runs.

        Raises:
            DeviceError, DeviceLost: It did not start.
        """
        ...

    def developer_mode(self, phone: IphoneInfo) -> bool | None:
        """Whether developer mode is on; None where the program cannot tell.

        Raises:
            DeviceError, DeviceLost: It could not be asked.
        """
        ...

    def image_mounted(self, phone: IphoneInfo) -> bool | None:
        """Whether the phone offers its developer services; None where the program cannot tell.

        Raises:
            DeviceError, DeviceLost: It could not be asked.
        """
        ...

    def app_installed(self, phone: IphoneInfo) -> bool:
        """Whether the agent app is on the phone.

        Raises:
            DeviceError, DeviceLost: It could not be asked.
        """
        ...
