"""Keys of a recipe: fields of a dataclass, their names in a file, and their checks.

A file gives schedules as shares of the training (`freeze = "10/90"`), so that they
scale with the number of epochs however it is set. A dataclass holds them in epochs.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from search.documents import refuse_unknown
from search.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Kind = TypeVar("Kind", bound=DataclassInstance)

Count = Annotated[int, Field(ge=1, le=10**9)]
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
UpToOne = Annotated[float, Field(ge=0, le=1)]
ShareOfAll = Annotated[float, Field(gt=0, le=1)]

_KEY, _SCALE = "recipe_key", "recipe_scale"
# Three equal thirds of an epoch must not become one epoch more by rounding.
_ROUNDING = 1e-6
_DIGITS = 14


def whole_epochs(share: float, epochs: int) -> int:
    """A share of the training in whole epochs; some of it is one epoch at least."""
    return math.ceil(share * epochs - _ROUNDING)


def part_epochs(share: float, epochs: int) -> float:
    """A share of the training in epochs."""
    return share * epochs


def an_epoch(total: float, epochs: int) -> float:
    """A change over the whole training as that of one epoch, as papers print it: 0.2."""
    return round(total / epochs, _DIGITS)


def key(
    name: str | None, scale: Callable[[float, int], float] | None = None
) -> Mapping[str, object]:
    """Metadata of a field: its key in a file, where it is another word than the field's.

    Args:
        name: Dotted; None where no file sets the field.
        scale: From what the file says and the number of epochs to the field's value.
    """
    return {_KEY: name, _SCALE: scale}


def keys_of(kind: "type[DataclassInstance]") -> dict[str, "dataclasses.Field[Any]"]:
    """The fields that a file can set, by their keys."""
    named = {field.metadata.get(_KEY, field.name): field for field in dataclasses.fields(kind)}
    return {name: field for name, field in named.items() if name is not None}


def build(
    kind: "type[Kind]", values: Mapping[str, object], where: str, changes: Mapping[str, object]
) -> "Kind":
    """A recipe from the values of a table.

    Args:
        kind: A dataclass; with `epochs` among its fields, where others scale with them.
        values: By dotted keys, as a file has them.
        where: The table, for messages.
        changes: By fields' names, in place of the file's; None changes nothing.

    Raises:
        UsageError: An unknown or a missing key, or an impossible value.
    """
    known = keys_of(kind)
    refuse_unknown(values, known, where)
    types = _types(kind)
    plain = {
        field.name: _value(field, types[field.name], values[name], f"{where}.{name}")
        for name, field in known.items()
        if name in values
    }
    plain |= {
        name: _checked(types[name], value, name)
        for name, value in changes.items()
        if value is not None
    }
    for name, field in known.items():
        if field.name not in plain and _is_required(field):
            raise UsageError(
                f"{where}.{name} is missing.", 'Give it, or begin the recipe with extends = "cpu".'
            )
    return kind(**_scaled(kind, plain, changes))


def check_fields(recipe: "DataclassInstance") -> None:
    """Refuse values of another type or out of range, as the fields' annotations say.

    Raises:
        UsageError: Names the first.
    """
    types = _types(type(recipe))
    for field in dataclasses.fields(recipe):
        name = field.metadata.get(_KEY, field.name) or field.name
        _checked(types[field.name], getattr(recipe, field.name), name)


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _scaled(
    kind: "type[DataclassInstance]", values: Mapping[str, Any], changes: Mapping[str, object]
) -> dict[str, Any]:
    """Shares of the training as epochs; values given in epochs stay."""
    scaled = dict(values)
    for field in dataclasses.fields(kind):
        scale = field.metadata.get(_SCALE)
        value = values.get(field.name)
        if scale is None or value is None or changes.get(field.name) is not None:
            continue
        many = isinstance(value, tuple)
        parts = tuple(scale(part, values["epochs"]) for part in (value if many else (value,)))
        scaled[field.name] = parts if many else parts[0]
    return scaled


@functools.cache
def _types(kind: "type[DataclassInstance]") -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(kind, include_extras=True)
    strict = ConfigDict(strict=True)
    return {
        field.name: TypeAdapter(hints[field.name], config=strict)
        for field in dataclasses.fields(kind)
    }


def _value(
    field: "dataclasses.Field[Any]", kind: TypeAdapter[Any], value: object, name: str
) -> object:
    """A value of a file as the field's, checked; shares are checked as shares."""
    if value == "none" and _may_be_none(kind):
        value = None
    if isinstance(value, list):
        value = tuple(value)
    if field.metadata.get(_SCALE) is None:
        return _checked(kind, value, name)
    if value is None:
        return _checked(kind, None, name)
    if isinstance(value, tuple):
        return tuple(_share(part, name) for part in value)
    return _share(value, name)


def _may_be_none(kind: TypeAdapter[Any]) -> bool:
    try:
        kind.validate_python(None)
    except ValidationError:
        return False
    return True


def _share(value: object, name: str) -> float:
    """A number, or a fraction such as "10/90"."""
    number = _fraction(value) if isinstance(value, str) else value
    if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number < math.inf:
        return float(number)
    raise UsageError(
        f"{name} is {value!r}, which is no share of the training.",
        'Give a number such as 0.25, or a fraction such as "90/360".',
    )


def _fraction(text: str) -> float | None:
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        return None


def _checked(kind: TypeAdapter[Any], value: object, name: str) -> object:
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Input ")
        raise UsageError(f"{name} is out of range: it is {value!r}, and {reason}.") from error
