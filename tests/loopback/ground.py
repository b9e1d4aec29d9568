"""Where the device's commands run.

`Namespace` gives each device a mount namespace of its own (no privileges
needed where the kernel allows user namespaces): /data, /sdcard, /system and
/sys are the root folder's, the rest of the host is as it is. `Prefixes` is for
machines that refuse: device paths in a command's text are replaced by the
host's, and back in its output. Paths inside files or on standard input stay as
they are there, so programs should be given relative names.

Neither is a sandbox: commands run with the rights of whoever started the device.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Protocol

OWN_PLACES = ("data", "sdcard", "system", "loopback", "sys")
START_TIMEOUT_S = 120.0  # limits for faults: what comes sooner is seen sooner
END_TIMEOUT_S = 120.0
_SETUP = """
set -e
stage=$1 root=$2
mount -t tmpfs -o mode=755 loopback "$stage"
for entry in /*; do
  name=${entry#/}
  case $name in data|sdcard|system|loopback|sys|proc) continue ;; esac
  if [ -L "$entry" ]; then cp -P "$entry" "$stage/$name"
  elif [ -d "$entry" ]; then mkdir "$stage/$name"; mount --rbind "$entry" "$stage/$name"
  fi
done
for name in data sdcard system loopback sys; do
  mkdir "$stage/$name"; mount --bind "$root/$name" "$stage/$name"
done
shell=$root/loopback/host/sh
if [ -x "$shell" ]; then mount --bind "$shell" "$stage/bin/sh"; fi
mkdir "$stage/proc"; mount --rbind /proc "$stage/proc"
for name in cpuinfo sys/kernel/random/boot_id; do
  mount --bind "$root/proc/$name" "$stage/proc/$name"
done
exec chroot "$stage" /bin/sh -c 'echo ready; read line'
"""


class OutputFilter:
    """Takes a host's path away wherever it stands in a stream of bytes.

    Keeps nothing back but what may be the beginning of that path.
    """

    def __init__(self, path: bytes = b"") -> None:
        self._path = path
        self._kept = b""

    def __call__(self, data: bytes, last: bool = False) -> bytes:
        """Return what can be shown so far; everything if this was the last."""
        if not self._path:
            return data
        data = (self._kept + data).replace(self._path, b"")
        keep = 0
        if not last:
            longest = min(len(self._path) - 1, len(data))
            sizes = range(longest, 0, -1)
            keep = next((n for n in sizes if data.endswith(self._path[:n])), 0)
        self._kept = data[len(data) - keep :]
        return data[: len(data) - keep]


class Ground(Protocol):
    """Turns a command for the device into one for this machine."""

    name: str

    def argv(self, command: str) -> list[str]:
        """The program and its arguments."""
        ...

    def environment(self) -> dict[str, str]:
        """Variables of the command; nothing else is passed on."""
        ...

    def output_filter(self) -> "OutputFilter":
        """What one command's output passes through, made anew for each."""
        ...

    def close(self) -> None:
        """Give back what is held."""
        ...


class NoNamespace(Exception):
    """This machine does not allow mount namespaces."""


class Namespace:
    """A mount namespace, held open by one idle process until `close`.

    Raises:
        NoNamespace: Not allowed here, or its programs (util-linux) are missing.
    """

    name = "namespace"

    def __init__(self, root: Path) -> None:
        # By its full name: it is started with the device's PATH.
        self._nsenter = shutil.which("nsenter")
        if self._nsenter is None:
            raise NoNamespace("there is no nsenter")
        self._stage = Path(tempfile.mkdtemp(prefix="loopback-"))
        try:
            self._holder = subprocess.Popen(
                ["unshare", "-rm", "/bin/sh", "-c", _SETUP, "sh", str(self._stage), str(root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
            )
        except OSError as error:
            self._stage.rmdir()
            raise NoNamespace(str(error)) from error
        assert self._holder.stdout is not None
        select.select([self._holder.stdout], [], [], START_TIMEOUT_S)
        if self._holder.stdout.readline() != b"ready\n":
            self.close()
            raise NoNamespace("unshare or mount is not permitted")

    def argv(self, command: str) -> list[str]:
        assert self._nsenter is not None
        enter = [self._nsenter, "--preserve-credentials", "--user", "--mount", "--root", "--wd"]
        return [*enter, "-t", str(self._holder.pid), "--", "/bin/sh", "-c", command]

    def environment(self) -> dict[str, str]:
        return {"PATH": "/system/bin", "HOME": "/", "TMPDIR": "/data/local/tmp"}

    def output_filter(self) -> OutputFilter:
        return OutputFilter()

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()
        with contextlib.suppress(OSError):
            self._stage.rmdir()


class Prefixes:
    """Device paths replaced in the text of commands, and back in their output."""

    name = "prefix"

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        places = "|".join(("data/local/tmp", "sdcard", "system/bin", "loopback", "sys/"))
        self._pattern = re.compile(
            rf"(?<![\w./~-])/(?={places}|proc/(cpuinfo|sys/kernel/random/boot_id))"
        )

    def argv(self, command: str) -> list[str]:
        text = self._pattern.sub(lambda _: f"{self._root}/", command)
        return ["/bin/sh", "-c", text]

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self._root}/system/bin",
            "HOME": self._root,
            "TMPDIR": f"{self._root}/data/local/tmp",
            "KIT_SYSFS": f"{self._root}/sys",
        }

    def output_filter(self) -> OutputFilter:
        return OutputFilter(os.fsencode(self._root))

    def close(self) -> None:
        """Nothing is held."""


def find_ground(root: Path, wanted: str = "auto") -> Ground:
    """Make the ground that is wanted; `auto` takes a namespace where it is allowed.

    Raises:
        NoNamespace: It was wanted by name and is not allowed.
    """
    if wanted == "prefix":
        return Prefixes(root)
    try:
        return Namespace(root)
    except NoNamespace:
        if wanted == "namespace":
            raise
        return Prefixes(root)


def tag_of(root: Path) -> str:
    """What marks the processes of the device with this root, whichever daemon began them."""
    return uuid.uuid5(uuid.NAMESPACE_URL, root.resolve().as_uri()).hex


def processes_of(root: Path) -> dict[int, bytes]:
    """Command line by number of every process that a device began, whatever its session."""
    mark, found = f"LOOPBACK_TAG={tag_of(root)}".encode(), {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "cmdline").read_bytes()
    return found


def end_processes(root: Path) -> None:
    """Kill every process that the device with this root began, and what those begin meanwhile."""
    end = time.monotonic() + END_TIMEOUT_S
    while (found := processes_of(root)) and time.monotonic() < end:
        for number in found:
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.005)
