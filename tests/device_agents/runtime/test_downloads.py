"""Pinned files: fetched once, kept under their content, and never taken with another."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.runtime import downloads
from device_agents.runtime.debian import read_members
from device_agents.runtime.downloads import Downloads, unpack_wheel
from device_agents.runtime.pins import (
    DEBIAN_PACKAGES,
    EXECUTORCH_WHEELS,
    LOADER,
    DebianPackage,
    Wheel,
)
from search.cache import cache_root
from search.errors import DeviceError

LIBRARY = b"\x7fELF a library"


def ar(members: dict[str, bytes]) -> bytes:
    """An `ar` archive as Debian writes it."""
    content = b"!<arch>\n"
    for name, data in members.items():
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        content += data + b"\n" * (len(data) % 2)
    return content


def data_tar(files: dict[str, bytes], links: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, target in links.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return stream.getvalue()


DEB = ar(
    {
        "debian-binary": b"2.0\n",
        "control.tar.xz": b"odd",
        "data.tar.xz": data_tar(
            {"lib/libx.so.6.0.30": LIBRARY}, {"lib/libx.so.6": "libx.so.6.0.30"}
        ),
    }
)
PACKAGE = DebianPackage(
    file="libx6_1_arm64.deb",
    pool="x/x",
    sha256=hashlib.sha256(DEB).hexdigest(),
    sha1=hashlib.sha1(DEB, usedforsecurity=False).hexdigest(),
    members={"libx.so.6": "lib/libx.so.6"},
)


@pytest.fixture
def offline(tmp_path: Path, own_cache: Path) -> Downloads:
    folder = tmp_path / "offline"
    folder.mkdir()
    return Downloads(offline=folder, say=lambda _: None)


# --- Debian packages


def test_a_file_is_read_from_a_package_through_its_link(tmp_path: Path) -> None:
    path = tmp_path / PACKAGE.file
    path.write_bytes(DEB)
    assert read_members(path, PACKAGE.members) == {"libx.so.6": LIBRARY}


@given(sizes=st.lists(st.integers(0, 9), max_size=4))
def test_members_before_the_data_may_have_any_size(
    sizes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = {f"m{number}": b"x" * size for number, size in enumerate(sizes)}
    path = tmp_path_factory.getbasetemp() / "any.deb"
    path.write_bytes(ar({**before, "data.tar.xz": data_tar({"a": b"content"}, {})}))
    assert read_members(path, {"a": "a"}) == {"a": b"content"}


@pytest.mark.parametrize(
    "content",
    [b"", b"!<arch>\n", DEB[:100], DEB[:-120], DEB.replace(b"data.tar", b"date.tar")],
)
def test_what_is_no_such_package_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.deb"
    path.write_bytes(content)
    with pytest.raises(DeviceError, match="not the Debian package"):
        read_members(path, PACKAGE.members)


def test_a_package_without_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / PACKAGE.file
    path.write_bytes(DEB)
    with pytest.raises(DeviceError, match=r"libz\.so"):
        read_members(path, {"libz.so": "lib/libz.so"})


def test_a_package_is_kept_and_then_needs_no_folder(offline: Downloads) -> None:
    assert offline.offline is not None
    given_file = offline.offline / PACKAGE.file
    given_file.write_bytes(DEB)
    kept = offline.package(PACKAGE)
    given_file.unlink()
    assert offline.package(PACKAGE) == kept
    assert kept.read_bytes() == DEB


def test_a_package_that_is_not_in_the_folder_is_named_with_its_address(offline: Downloads) -> None:
    with pytest.raises(DeviceError, match=PACKAGE.file) as told:
        offline.package(PACKAGE)
    assert PACKAGE.urls[0] in told.value.remedy


def test_another_content_is_refused_and_nothing_of_it_is_kept(offline: Downloads) -> None:
    assert offline.offline is not None
    (offline.offline / PACKAGE.file).write_bytes(DEB + b"!")
    with pytest.raises(DeviceError, match="is not the libx6"):
        offline.package(PACKAGE)
    assert list(cache_root().rglob("*.deb")) == []


def test_the_second_address_is_tried_and_both_are_named_if_none_answers(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(url: str) -> bytes:
        asked.append(url)
        if "snapshot" not in url or len(asked) > 2:
            raise OSError("unreachable")
        return DEB

    monkeypatch.setattr(downloads, "_read_url", answer)
    online = Downloads(offline=None, say=lambda _: None)
    assert online.package(PACKAGE).read_bytes() == DEB
    assert asked == list(PACKAGE.urls)
    other = DebianPackage(file="o.deb", pool="o", sha256="0" * 64, sha1="0", members={})
    with pytest.raises(DeviceError, match=r"unreachable.*unreachable") as told:
        online.package(other)
    assert "--find-links" in told.value.remedy


# --- wheels


def small_wheel(folder: Path) -> Wheel:
    path = folder / "kit_probe-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("kit_probe/lib.so", LIBRARY)
        info = "Metadata-Version: 2.1\nName: kit-probe\nVersion: 1.0\n"
        archive.writestr("kit_probe-1.0.dist-info/METADATA", info)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr("kit_probe-1.0.dist-info/WHEEL", tags)
        archive.writestr("kit_probe-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel(project="kit-probe", version="1.0", platform="any", sha256=digest)


def test_pip_takes_a_wheel_from_the_folder_and_it_is_unpacked_once(offline: Downloads) -> None:
    assert offline.offline is not None
    wheel = small_wheel(offline.offline)
    kept = offline.wheel(wheel)
    next(offline.offline.glob("*.whl")).unlink()
    assert offline.wheel(wheel) == kept
    folder = unpack_wheel(wheel, kept)
    assert (folder / "kit_probe/lib.so").read_bytes() == LIBRARY
    kept.unlink()
    assert unpack_wheel(wheel, kept) == folder


def test_a_wheel_of_another_content_is_refused_with_pips_own_words(offline: Downloads) -> None:
    assert offline.offline is not None
    small_wheel(offline.offline)
    other = Wheel(project="kit-probe", version="1.0", platform="any", sha256="0" * 64)
    with pytest.raises(DeviceError, match=r"(?s)pip cannot fetch kit-probe 1.0.*hash"):
        offline.wheel(other)
    assert list(cache_root().rglob("*.whl")) == []


def test_a_damaged_wheel_leaves_no_folder(own_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "w.whl").write_bytes(b"PK no")
    wheel = Wheel(project="w", version="1", platform="any", sha256="0" * 64)
    with pytest.raises(DeviceError, match="no wheel"):
        unpack_wheel(wheel, tmp_path / "w.whl")
    assert list((cache_root() / "unpacked").iterdir()) == []


# --- pins


def test_every_pin_has_a_whole_hash_and_the_loader_comes_first() -> None:
    hashes = [wheel.sha256 for wheel in EXECUTORCH_WHEELS.values()]
    hashes += [package.sha256 for package in DEBIAN_PACKAGES]
    assert {len(bytes.fromhex(text)) for text in hashes} == {32}
    assert {len(bytes.fromhex(package.sha1)) for package in DEBIAN_PACKAGES} == {20}
    assert LOADER == "ld-linux-aarch64.so.1"
