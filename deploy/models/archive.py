"""A `.pt2` archive looked through before torch opens it: torch would run what it holds."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from search.errors import UsageError

# torch evaluates expressions of shapes as Python. These are the ones that it writes itself.
_EXPRESSION = re.compile(r"[\w\s+\-*/%(),.<>=&|~!']{0,2000}")
_WORDS = re.compile(r"[^\W\d]\w*")
_DOTTED = re.compile(r"[^\W\d]\w*\s*\.|\.\s*[^\W\d]")
_KNOWN_WORDS = re.compile(
    r"Symbol|Integer|Float|Rational|Mul|Add|Pow|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|Max|Min|"
    r"Eq|Ne|Gt|Ge|Lt|Le|And|Or|Not|Piecewise|ExprCondPair|Identity|Where|ModularIndexing|"
    r"StrictGreaterThan|StrictLessThan|GreaterThan|LessThan|Equality|Unequality|"
    r"FloatTrueDiv|IntTrueDiv|FloatPow|PowByNatural|ToFloat|TruncToInt|TruncToFloat|CeilToInt|"
    r"FloorToInt|RoundToInt|RoundDecimal|floor|ceiling|true|false|True|False|oo|int_oo|"
    r"positive|integer|nonnegative|real|finite|s\d+|u\d+|zuf\d+|zf\d+"
)
_AGAIN = "Export it again with torch.export.save, as plain tensors."


def checked_archive(path: Path) -> bytes:
    """The content of a `.pt2` file that holds plain tensors and a graph, nothing to be run.

    Raises:
        UsageError: Not such an archive, of an older format, or with pickled objects in it.
    """
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
            _check_format(path, archive, names)
            for name in archive.namelist():
                if name.endswith("_config.json"):
                    _check_payload(path, json.loads(archive.read(name)))
                elif "/models/" in name:
                    _check_expressions(path, json.loads(archive.read(name)))
                elif "/sample_inputs/" in name:
                    _check_inputs(path, archive.read(name))
    except (zipfile.BadZipFile, ValueError, KeyError, RecursionError, EOFError, OSError) as error:
        raise UsageError(
            f"{path} is no archive of torch.export, or is damaged ({error}).",
            "Write it with torch.export.save.",
        ) from error
    return content


def _check_format(path: Path, archive: zipfile.ZipFile, names: list[str]) -> None:
    if "models/model.json" in names:
        return
    if any(name.endswith("serialized_exported_program.json") for name in archive.namelist()):
        why = "was saved by a torch before 2.8, in a format that needs unpickling"
    elif any(name.endswith("data.pkl") for name in names):
        why = "is a checkpoint or TorchScript (pickled code), not an exported program"
    else:
        why = "holds no exported program"
    raise UsageError(
        f"{path} {why}.", "Export it with this torch: torch.export.save(program, FILE)."
    )


def _check_payload(path: Path, config: dict[str, dict[str, dict[str, object]]]) -> None:
    for name, payload in config["config"].items():
        place = str(payload["path_name"])
        if payload.get("use_pickle") or not re.fullmatch(r"(weight|tensor)_\d+", place):
            raise UsageError(
                f"{path} holds {name!r} as a pickled object, which could run a program.", _AGAIN
            )


def _check_inputs(path: Path, content: bytes) -> None:
    import torch

    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:  # whatever torch raises on what it does not load
        raise UsageError(
            f"{path} holds example inputs that are more than tensors, and are not loaded: that "
            "could run a program.",
            _AGAIN,
        ) from error


def _check_expressions(path: Path, model: object) -> None:
    for text in _expressions(model):
        words = _WORDS.findall(text)
        plain = _EXPRESSION.fullmatch(text) and not _DOTTED.search(text)
        if not plain or not all(_KNOWN_WORDS.fullmatch(word) for word in words):
            raise UsageError(
                f"{path} describes a shape by {text[:60]!r}, which torch would evaluate.",
                "Export it with fixed shapes.",
            )


def _expressions(content: object) -> Iterator[str]:
    """Every text that torch evaluates: `expr_str` wherever it stands, and guards."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name == "expr_str" and isinstance(value, str):
                yield value
            else:
                yield from _expressions(value)
    elif isinstance(content, list):
        for value in content:
            yield from _expressions(value)
