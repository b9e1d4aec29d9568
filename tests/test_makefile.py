"""The Makefile's installation, with a stand-in for Python: what it shows, and how it ends."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.product import ROOT

# Makes an environment with itself in it, and installs by sleeping.
PYTHON = """#!/bin/sh
case "$*" in
*"-m venv"*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python";;
*version_info*) echo 3.11;;
*install*) sleep 2; exit {code};;
esac
"""


@pytest.mark.parametrize("code", [0, 3])
def test_an_installation_says_that_it_goes_on_and_fails_where_pip_does(
    tmp_path: Path, code: int
) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    python, environment = tmp_path / "python", tmp_path / "environment"
    python.write_text(PYTHON.format(code=code))
    python.chmod(0o755)
    words = ["make", "install", f"PYTHON={python}", f"VENV={environment}", "ALIVE_S=1"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "installing PyTorch" in done.stderr
    assert f"  1 s, 1 MB in {environment}\n" in done.stderr
    assert (done.returncode == 0) == (code == 0), done.stderr
    assert (environment / ".installed").exists() == (code == 0)
