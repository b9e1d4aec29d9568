"""Two network namespaces that stand for two hosts, and the cable between them."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence


class Namespaces:
    """Two hosts of one network, each with a loopback of its own; needs root.

    Args:
        number: Tells the namespaces of two checks that run at once apart.
    """

    def __init__(self, number: int) -> None:
        self._names = [f"kf{number}a", f"kf{number}b"]
        self._cables = [f"kf{number}v0", f"kf{number}v1"]
        self.addresses = ["10.77.0.1", "10.77.0.2"]

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """The namespaces, joined by a cable, for as long as this is open.

        Raises:
            SystemExit: This machine does not permit them.
        """
        try:
            self._make()
            yield
        finally:
            for name in self._names:
                subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    def _make(self) -> None:
        for name in self._names:
            _ip("netns", "add", name)
        _ip("link", "add", self._cables[0], "type", "veth", "peer", "name", self._cables[1])
        for name, cable, address in zip(self._names, self._cables, self.addresses, strict=True):
            _ip("link", "set", cable, "netns", name)
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", cable)
            for device in ("lo", cable):
                _ip("-n", name, "link", "set", device, "up")

    def within(self, half: int, command: Sequence[str]) -> list[str]:
        """A command of one of the hosts; the process that is started is the command's own."""
        return ["ip", "netns", "exec", self._names[half], *command]

    def cut(self) -> None:
        """Pull the cable."""
        _ip("-n", self._names[0], "link", "set", self._cables[0], "down")

    def mend(self) -> None:
        """Plug it in again."""
        _ip("-n", self._names[0], "link", "set", self._cables[0], "up")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"ip {' '.join(words)}: {done.stderr.strip()} (are you root?)")
