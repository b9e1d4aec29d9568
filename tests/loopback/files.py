"""Device paths and the folder of the host that they mean.

Nothing outside that folder is ever reached: `..` is refused, and links are
followed as on the device, where `/` is the root folder.
"""

import os
from pathlib import Path, PurePosixPath

WRITABLE = ("/data/local/tmp", "/sdcard")
MOST_LINKS = 40


class RootFolder:
    """The device's file system, seen from the host.

    Args:
        root: An existing or new folder; only the device should write there.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        for name in WRITABLE:
            self.within(name).mkdir(parents=True, exist_ok=True)

    def within(self, device_path: str) -> Path:
        """The host's path of a device path, word by word; for the device's own use."""
        return self.root / device_path.lstrip("/")

    def resolve(self, device_path: str, follow_last: bool = True) -> Path:
        """The host's path of what a host asked for.

        Raises:
            PermissionError: It has `..` in it.
            OSError: A circle of links.
        """
        todo = [part for part in PurePosixPath(device_path).parts if part != "/"]
        place, links = self.root, 0
        while todo:
            part = todo.pop(0)
            if part == ".." or "\0" in part:
                raise PermissionError(1, "Operation not permitted", device_path)
            step = place / part
            if not step.is_symlink() or (not todo and not follow_last):
                place = step
                continue
            links += 1
            if links > MOST_LINKS:
                raise OSError(40, "Too many symbolic links encountered", device_path)
            target = str(step.readlink())
            if target.startswith("/"):
                place = self.root
                target = target.removeprefix(str(self.root))
            todo = [part for part in PurePosixPath(target).parts if part != "/"] + todo
        return place

    def check_writable(self, device_path: str, place: Path) -> None:
        """Refuse to write where a phone's shell user may not.

        Raises:
            PermissionError: Outside /data/local/tmp and /sdcard.
        """
        if not any(place.is_relative_to(self.within(name)) for name in WRITABLE):
            raise PermissionError(13, "Permission denied", device_path)

    def used_bytes(self) -> int:
        """Size of all that was written to the device."""
        total = 0
        for name in WRITABLE:
            for folder, _, files in os.walk(self.within(name)):
                for file in files:
                    try:
                        total += os.lstat(os.path.join(folder, file)).st_size  # noqa: PTH118
                    except OSError:
                        continue  # removed meanwhile
        return total
