"""Pinned files, fetched once: each is kept in the cache, and only with the content it must have.

Wheels come through pip, so that its settings (index, proxy, certificates, find-links) hold;
Debian's packages come over HTTPS. A folder given by the user takes the place of both: then
nothing is asked of any network.
"""

import shutil
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device_agents.runtime.pins import DebianPackage, Wheel
from device_agents.tools import Task, require_success, run_tool
from search.cache import cache_root
from search.errors import DeviceError
from search.files import sha256_bytes, sha256_file, write_bytes

PIP_TIMEOUT_S = 1800
_HTTP_TIMEOUT_S = 60
_MOST_BYTES = 64 * 2**20

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloads:
    """Where files come from: `offline` is a folder that holds them, None the network."""

    offline: Path | None
    say: Say

    def wheel(self, wheel: Wheel) -> Path:
        """The wheel's file.

        Raises:
            DeviceError: pip cannot have it, or its content is another.
        """
        folder = _kept(wheel.sha256)
        found = _whole_file(folder, wheel.sha256)
        if found is None:
            place = f"from {self.offline}" if self.offline is not None else "with pip"
            self.say(f"fetching {wheel.name} {place}")
            found = self._by_pip(wheel, folder)
        return found

    def package(self, package: DebianPackage) -> Path:
        """The package's file.

        Raises:
            DeviceError: It cannot be had, or its content is another.
        """
        folder = _kept(package.sha256)
        found = _whole_file(folder, package.sha256)
        if found is None:
            write_bytes(folder / package.file, self._content(package))
            found = folder / package.file
        return found

    def _by_pip(self, wheel: Wheel, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pip-", dir=folder.parent) as name:
            place = Path(name)
            _run_pip(wheel, place, self.offline)
            found = _whole_file(place, wheel.sha256)
            if found is None:
                raise DeviceError(f"pip fetched another {wheel.name} than it was asked for.")
            return found.replace(folder / found.name)

    def _content(self, package: DebianPackage) -> bytes:
        if self.offline is not None:
            path = self.offline / package.file
            try:
                return _checked(path.read_bytes(), package, str(path))
            except OSError as error:
                raise DeviceError(
                    f"{path} cannot be read: {error.strerror}.",
                    f"Put it there (from {package.urls[0]}), or leave --find-links out.",
                ) from error
        reasons = []
        for url in package.urls:
            self.say(f"fetching {url}")
            try:
                return _checked(_read_url(url), package, url)
            except (OSError, urllib.error.URLError) as error:
                reasons.append(f"{url}: {error}")
        raise DeviceError(
            f"{package.file} cannot be fetched ({'; '.join(reasons)}).",
            "Connect to the Internet, or give a folder with it by --find-links.",
        )


def unpack_wheel(wheel: Wheel, path: Path) -> Path:
    """The folder with the wheel's content, unpacked once.

    Raises:
        DeviceError: It is no archive.
    """
    folder = cache_root() / "unpacked" / f"{wheel.project}-{wheel.version}-{wheel.sha256[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".unpack-", dir=folder.parent))
    temporary.chmod(0o755)
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(temporary)
        temporary.rename(folder)
    except zipfile.BadZipFile as error:
        raise DeviceError(f"{path} is no wheel: {error}.", "Remove it and try again.") from error
    except OSError:
        if not folder.is_dir():  # another process was faster: its folder is the same
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _kept(sha256: str) -> Path:
    return cache_root() / "downloads" / sha256


def _whole_file(folder: Path, sha256: str) -> Path | None:
    files = sorted(folder.glob("[!.]*")) if folder.is_dir() else []
    return next((path for path in files if path.is_file() and sha256_file(path) == sha256), None)


def _checked(content: bytes, package: DebianPackage, place: str) -> bytes:
    if sha256_bytes(content) != package.sha256:
        raise DeviceError(
            f"{place} is not the {package.file} that this kit was checked with.",
            "Try another network or mirror; nothing of it was used.",
        )
    return content


def _read_url(url: str) -> bytes:
    # Its scheme is part of the pins; what is read is checked by its sha256.
    with urllib.request.urlopen(url, timeout=_HTTP_TIMEOUT_S) as answer:  # noqa: S310
        content: bytes = answer.read(_MOST_BYTES)
    return content


def _run_pip(wheel: Wheel, place: Path, offline: Path | None) -> None:
    wanted = place / "wanted.txt"
    wanted.write_text(
        f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--require-hashes", "-r", str(wanted)]
    command += ["--only-binary=:all:", "--platform", wheel.platform, "-d", str(place)]
    command += ["--python-version", wheel.python] if wheel.python else []
    command += ["--no-index", "--find-links", str(offline)] if offline is not None else []
    task = Task(
        failure=f"pip cannot fetch {wheel.name}",
        remedy="Connect to the Internet, or give a folder with it by --find-links.",
        timeout_s=PIP_TIMEOUT_S,
        shown_lines=6,
    )
    # A file of constraints speaks of what is installed; this is not.
    done = run_tool(command, task, {"PIP_CONSTRAINT": ""})
    if done.returncode and "No module named pip" in done.stderr:
        raise DeviceError(
            "This Python has no pip, with which the runtime is fetched.",
            "Install it: python -m ensurepip.",
        )
    require_success(done, task)
