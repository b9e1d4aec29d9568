"""Push and pull against the loopback device, in MB (1e6 bytes) a second.

    python tests/benchmarks/bench_adb.py [--megabytes 50] [--repeats 3]

Wanted: 20 MB/s with payloads of 1 MiB, 5 MB/s with payloads of 4096 bytes;
below that the exit code is 1. The device runs in a process of its own. The
best of the repeats counts, since other work on the machine only ever slows it.
"""

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.loopback_tests.adb_shell_client import TIMEOUT_S, connected  # noqa: E402

WANTED = {"1 MiB": 20.0, "4096 B": 5.0}
PLACE = "/data/local/tmp/blob"


@contextmanager
def loopback(old: bool) -> Iterator[int]:
    """A device in another process; its port."""
    words = [sys.executable, "-m", "tests.loopback", *(["--old"] if old else [])]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


def fastest(work: Callable[[], None], size: int, repeats: int) -> float:
    """MB a second, best of the repeats."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return size / min(times) / 1e6


def by_adb_shell(port: int, data: bytes, repeats: int) -> tuple[float, float]:
    """Push and pull with adb-shell's client, its transport repaired."""
    client = connected(port)

    def push() -> None:
        client.push(io.BytesIO(data), PLACE, read_timeout_s=TIMEOUT_S)

    def pull() -> None:
        back = io.BytesIO()
        client.pull(PLACE, back, read_timeout_s=TIMEOUT_S)
        assert back.getbuffer() == data

    rates = fastest(push, len(data), repeats), fastest(pull, len(data), repeats)
    client.close()
    return rates


def by_adb(port: int, data: bytes, repeats: int) -> tuple[float, float]:
    """Push and pull with the installed adb, started anew each time, and a server of its own."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as free:
        home, serial = Path(name), f"127.0.0.1:{port}"
        (home / "blob").write_bytes(data)
        server = str(free.getsockname()[1])
        free.close()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": name,
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "5554",
        }

        def adb(*words: str) -> None:
            command = ["adb", "-P", server, *words]
            subprocess.run(command, check=True, capture_output=True, env=environment)

        try:
            adb("connect", serial)
            push = ("-s", serial, "push", str(home / "blob"), PLACE)
            pull = ("-s", serial, "pull", PLACE, str(home / "back"))
            pushed = fastest(lambda: adb(*push), len(data), repeats)
            pulled = fastest(lambda: adb(*pull), len(data), repeats)
            assert (home / "back").read_bytes() == data
        finally:
            adb("kill-server")
        return pushed, pulled


def main() -> int:
    """Print the rates; 1 when one is below what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    clients = {"adb-shell": by_adb_shell}
    if shutil.which("adb") is None:
        print("adb is not installed: adb-shell alone")
    else:
        clients["adb"] = by_adb
    data, enough = os.urandom(arguments.megabytes * 1_000_000), True
    for payload, wanted in WANTED.items():
        for name, work in clients.items():
            with loopback(old=payload == "4096 B") as port:
                push, pull = work(port, data, arguments.repeats)
            enough = enough and min(push, pull) >= wanted
            rates = f"push {push:6.1f} MB/s  pull {pull:6.1f} MB/s"
            print(f"{payload:>6}  {name:<9}  {rates}  (wanted: {wanted:.0f})", flush=True)
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
