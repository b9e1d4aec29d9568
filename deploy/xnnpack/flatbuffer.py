"""Flatbuffers by ExecuTorch's own schemas and compiler, without importing ExecuTorch.

Importing its Python packages costs a process five seconds and half a gigabyte.
"""

import importlib.util
import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from search.errors import ExportError

DELEGATE_SCHEMA = "backends/xnnpack/serialization/schema.fbs"
PROGRAM_SCHEMA = "exir/_serialize/program.fbs"
# flatc spells numbers that are not finite as no reader of JSON takes them.
_NOT_FINITE = re.compile(r"([:\[,]\s*)-?(?:inf|nan)\b")


def compile_flatbuffer(schema: str, content: Mapping[str, Any]) -> bytes:
    """The content as a flatbuffer of one of ExecuTorch's schemas.

    Raises:
        ExportError: ExecuTorch is not installed, or the schema knows no such content.
    """
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "content.json"
        text.write_text(json.dumps(content))
        compiler, source = _root() / "data/bin/flatc", _root() / schema
        command = [str(compiler), "--binary", "-o", folder, str(source), str(text)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise ExportError(f"flatc refuses what was written: {done.stdout}{done.stderr}"[:500])
        # The extension is the schema's own.
        (made,) = (path for path in Path(folder).iterdir() if path != text)
        return made.read_bytes()


def read_flatbuffer(schema: str, content: bytes) -> Any:
    """What a flatbuffer of one of ExecuTorch's schemas says, as JSON types.

    Raises:
        ExportError: ExecuTorch is not installed.
        ValueError: It is not of this schema.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "content.bin").write_bytes(content)
        compiler, source = _root() / "data/bin/flatc", _root() / schema
        options = ["--json", "--defaults-json", "--strict-json", "--raw-binary", "-o", folder]
        command = [str(compiler), *options, str(source), "--", str(Path(folder) / "content.bin")]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        text = Path(folder) / "content.json"
        if done.returncode or not text.exists():
            raise ValueError(f"flatc cannot read it ({done.stderr.strip()[:200]})")
        written = text.read_text(encoding="utf-8", errors="replace")
        return json.loads(_NOT_FINITE.sub(r"\1NaN", written))


@cache
def _root() -> Path:
    spec = importlib.util.find_spec("executorch")
    for folder in [] if spec is None else spec.submodule_search_locations or []:
        if (Path(folder) / "data/bin/flatc").exists():
            return Path(folder)
    raise ExportError("ExecuTorch is not installed.", "Install the kit with its 'profile' extra.")
