"""The native runner is built when it is needed, and told apart by its sources."""

import shutil
from pathlib import Path

import pytest

from device_agents.native import build as native
from search.errors import DeviceError, UsageError
from tests.device_agents.native.launching import launch


def test_what_was_built_is_found_without_a_compiler(
    runner: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert native.find() == runner
    assert native.build() == runner


def test_changed_sources_do_not_meet_the_old_binary(
    runner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(native.SOURCES, tmp_path, dirs_exist_ok=True)
    (tmp_path / "random.h").write_text("// changed\n")
    monkeypatch.setattr(native, "SOURCES", tmp_path)
    assert native.find() is None


@pytest.mark.parametrize(
    ("env", "error"),
    [
        ({"CXX": "no-such-compiler"}, UsageError),
        ({"CXX": "false"}, DeviceError),
        ({"CXX": "", "PATH": "/nowhere"}, DeviceError),
    ],
)
def test_a_compiler_that_is_missing_or_fails_is_told_with_a_remedy(
    env: dict[str, str], error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error, match="CXX"):
        native.build(out=tmp_path / "runner")
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_one_line_that_names_the_backends(runner: Path) -> None:
    done = launch(runner, "--version")
    assert done.stdout.count("\n") == 1
    assert '"schema_version":1,"runner":"executorch-native"' in done.stdout
    assert "XnnpackBackend" in done.stdout
