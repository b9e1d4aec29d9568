"""Documents read strictly: what is not exactly what a reader expects is refused.

JSON as Python reads it knows NaN and infinity, keeps the last of two equal names, and gives
up on deep nesting and long numbers with errors of other kinds. Here all of that is one error.
"""

import difflib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from search.errors import UsageError
from search.files import read_at_most

MOST_BYTES = 64 * 2**20
_SHOWN = 100

Model = TypeVar("Model", bound=BaseModel)
Kind = TypeVar("Kind")


def read_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """The content of a UTF-8 text file.

    Raises:
        UsageError: It cannot be read, is larger than `most_bytes`, or is no UTF-8 text.
    """
    try:
        return read_at_most(path, most_bytes).decode("utf-8")
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"Cannot read {path}: it is no UTF-8 text.") from error


def parse_json(text: str) -> object:
    """The content of a JSON text.

    Raises:
        ValueError: No JSON, two equal names in an object, NaN, infinity, a number too long to
            be read, or nesting too deep to be followed.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_no_twins,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    except ValueError as error:
        # Python's own words for a number of thousands of digits advise to change a limit.
        raise ValueError("a number is too long" if "limit" in str(error) else error) from error


def validate_json(text: str, kind: TypeAdapter[Kind]) -> Kind:
    """A JSON text as a value of exactly this type: true is no number, nor is "7".

    Raises:
        ValueError: `parse_json`'s reasons, or a field that is missing, unknown or impossible.
    """
    parse_json(text)
    try:
        return kind.validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error


def parse_document(
    text: str, model: type[Model], *, newest: int, origin: str, what: str, remedy: str = ""
) -> Model:
    """A document with a `schema_version` as its model.

    Args:
        text: The document.
        model: Its fields.
        newest: The newest schema that this kit reads.
        origin: Name of the document in messages.
        what: What it should be ("an architecture file").
        remedy: What to do about a document that is not.

    Raises:
        UsageError: Not such a document, or of a newer schema.
    """
    try:
        content = parse_json(text)
        version = content.get("schema_version") if isinstance(content, dict) else None
        if type(version) is not int:  # true would pass for 1
            raise ValueError("it names no schema version")
        if version > newest:
            raise UsageError(
                f"{origin} has schema {shortened(version)}, newer than {newest}.", "Update the kit."
            )
        return validate_json(text, TypeAdapter(model))
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise UsageError(f"{origin} is not {what}: {reason}.", remedy) from error


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, in a few words and without the content around it."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return shortened(f"{where}: {first['msg']}" if where else first["msg"], 200)


def refuse_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse a key that nothing has, naming the nearest one that something has.

    Raises:
        UsageError: There is one.
    """
    known = list(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5) or [
                other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]
            ]
            hint = f"The nearest is {near[0]}." if near else f"Known: {', '.join(sorted(known))}."
            raise UsageError(f"Unknown key {name!r} in {where}.", hint)


def shortened(value: object, most: int = _SHOWN) -> str:
    """A value as text, cut where it is too long to be read."""
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return content


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{shortened(text, 20)} is beyond what a number can be")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
