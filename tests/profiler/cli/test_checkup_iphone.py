"""`checkup` of an iPhone from the command line: the report, its file and the exit code."""

import json
from pathlib import Path
from typing import Any

import pytest


def test_without_the_program_the_first_step_says_how_to_install_it(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    report = tmp_path / "report.json"
    done = bench.call("checkup", "--device", "iphonex", "-o", str(report))
    assert done.code == 1
    assert "- FAILED program: " in done.out
    assert "pipx install pymobiledevice3" in done.out
    content = json.loads(report.read_text())
    assert content["device"] == "iPhone X"
    assert [check["passed"] for check in content["checks"]] == [False] * 9
    assert "not tried: program comes first" in content["checks"][-1]["says"]
