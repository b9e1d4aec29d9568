"""A Swift toolchain, wherever there is one: on the PATH, or in a root of its own.

`.ci/swift-root` makes such a root (Debian 13) where this system has no package;
KIT_SWIFT_ROOT names one. Sources are copied into it and built there; what was
built is started from outside by the root's own loader.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

APP = Path(__file__).resolve().parents[3] / "device_agents/runners/coreml"
STUBS = Path(__file__).with_name("stubs")
_DEFAULT = Path.home() / ".cache/fbnet-kit/swift-root"
_LIBRARIES = (
    "usr/libexec/swift/lib/swift/linux",
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swift:
    """A toolchain; `root` is where it lies, None for this system's own."""

    root: Path | None
    work: Path

    def run(self, *words: str, timeout_s: float = 600.0) -> "subprocess.CompletedProcess[str]":
        """Run a command in the folder of the sources."""
        if self.root is None:
            argv, place = list(words), self.work
        else:
            inside = f"/{self.work.relative_to(self.root)}"
            script = 'mount -t proc proc "$1/proc"; exec chroot "$1" sh -c \'cd "$0"; exec "$@"\' '
            script += '"$2" "${@:3}"'
            argv = ["unshare", "--mount", "bash", "-c", script, "-", str(self.root), inside, *words]
            place = Path("/")
        return subprocess.run(
            argv, cwd=place, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def build(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """`swift build` or `swift test` of the package; a warning is an error."""
        strict = ("-Xswiftc", "-warnings-as-errors")
        places = ("--package-path", "coreml", "--scratch-path", "build")
        with _only_one(self.work.parent):
            return self.run("swift", *words, *places, *strict)

    def agent(self) -> list[str]:
        """The command that starts agent-linux; it is built first.

        Raises:
            AssertionError: It cannot be built; says why.
        """
        program = self.work / "build/debug/agent-linux"
        if not program.exists():
            done = self.build("build", "--product", "agent-linux")
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        if self.root is None:
            return [str(program)]
        libraries = ":".join(str(self.root / name) for name in _LIBRARIES)
        loader = str(self.root / "lib64/ld-linux-x86-64.so.2")
        return [loader, "--library-path", libraries, str(program)]


@functools.cache
def find_swift() -> Swift | None:
    """A toolchain with the present sources laid out for it; None where there is none."""
    root = None
    if shutil.which("swift") is None:
        root = Path(os.environ.get("KIT_SWIFT_ROOT") or _DEFAULT)
        if (
            not os.path.lexists(root / "usr/bin/swift")
            or os.geteuid() != 0
            or not shutil.which("unshare")
        ):
            return None
    sources = sorted(
        p for top in (APP, STUBS) for p in top.rglob("*.swift") if ".build" not in p.parts
    )
    digest = hashlib.sha256(b"\0".join(p.read_bytes() for p in sources)).hexdigest()[:16]
    shelf = _DEFAULT.parent / "swift-builds" if root is None else root / "var/kit-builds"
    shelf.mkdir(parents=True, exist_ok=True)
    work = shelf / digest
    with _only_one(shelf):
        if not (work / "coreml").exists():
            for old in shelf.iterdir():
                shutil.rmtree(old, ignore_errors=True)
            work.mkdir(parents=True)
            shutil.copytree(STUBS, work / "stubs")
            shutil.copytree(APP, work / "partial", ignore=shutil.ignore_patterns(".build"))
            (work / "partial").rename(work / "coreml")
    return Swift(root=root, work=work)


@contextlib.contextmanager
def _only_one(shelf: Path) -> Iterator[None]:
    """One process at a time lays out and builds."""
    with shelf.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
