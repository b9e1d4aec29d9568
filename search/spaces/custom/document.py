"""A space of one's own as a TOML file, read strictly.

Whatever is wrong is said in one sentence with its place: a key that nothing has, with the
nearest one that something has; a candidate that cannot stand where it should; strides that
leave no pixel. search/README.md lists the keys.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search.documents import first_problem, read_text, refuse_unknown, shortened
from search.errors import UsageError
from search.operators.spec import LARGEST
from search.spaces.custom.definition import SpaceDefinition
from search.spaces.layout.block import Block
from search.spaces.layout.model import Candidate, Convolution, Layout, StageRow
from search.spaces.layout.words import parse_words

SPACE_SCHEMA = 1
_MOST_BYTES = 2**20

Size = Annotated[int, Field(ge=1, le=LARGEST)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Head(_Part):
    channels: Size
    activation: str = "relu"
    hidden: int = 0
    hidden_activation: str = "relu"


class _Convolution(_Part):
    kernel: int = 3
    channels: Size
    stride: Size = 1
    activation: str = "relu"


class _Stage(_Part):
    channels: Size
    repeats: Size = 1
    stride: Size = 1
    candidates: list[Any] | None = None
    fixed: Any = None


class _Candidate(_Part):
    """The fields of a `Block`, with a name; what is left out has the block's default."""

    name: str | None = None
    kind: Literal["ir", "uib", "conv", "skip"]
    kernel: int | None = None
    expansion: Positive | None = None
    groups: int | None = None
    depthwise: int | None = None
    squeeze: Share | None = None
    gate: str | None = None
    splits: int | None = None
    start_kernel: int | None = None
    activation: str | None = None
    keep_pointwise: bool | None = None
    projection: bool | None = None


class _Space(_Part):
    schema_version: Literal[1] = 1
    name: str
    description: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    resolution: Size
    classes: Size
    keep_pointwise: bool = False
    stem: Any
    candidates: list[Any] = []
    stages: list[Any]
    head: Any


Model = TypeVar("Model", bound=_Part)


def read_definition(path: Path) -> SpaceDefinition:
    """The space that a file defines.

    Raises:
        UsageError: No such file, or it defines none; says where.
    """
    return parse_definition(read_text(path, _MOST_BYTES), str(path))


def parse_definition(text: str, origin: str = "the text") -> SpaceDefinition:
    """The space that a TOML text defines.

    Args:
        text: The content of a file.
        origin: Its name in messages.

    Raises:
        UsageError: It defines none; says where.
    """
    content = _parsed(text, origin)
    _refuse_newer(content, origin)
    space = _read(_Space, content, origin)
    head = _read(_Head, space.head, f"{origin}, head")
    stem, stages = _stem(space.stem, origin), _stages(space, origin)
    try:
        return SpaceDefinition(
            name=space.name,
            description=space.description,
            layout=Layout(
                stem=stem,
                stages=stages,
                head_activation=head.activation,
                hidden=head.hidden,
                hidden_activation=head.hidden_activation,
            ),
            resolution=space.resolution,
            classes=space.classes,
            head_channels=head.channels,
            keep_pointwise=space.keep_pointwise,
        )
    except UsageError as error:
        raise UsageError(f"{origin}: {error.message}", error.remedy) from error


def _parsed(text: str, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = shortened(error, 200)
    except RecursionError:
        reason = "it is nested too deep"
    except ValueError:  # Python's own words for thousands of digits advise to change a limit
        reason = "a number is too long"
    raise UsageError(f"{origin} is no TOML: {reason}.")


def _refuse_newer(content: Mapping[str, Any], origin: str) -> None:
    version = content.get("schema_version", SPACE_SCHEMA)
    if type(version) is not int or version < 1:
        raise UsageError(f"{origin} has no schema_version of 1 or more.")
    if version > SPACE_SCHEMA:
        raise UsageError(
            f"{origin} has schema {shortened(version)}, newer than {SPACE_SCHEMA}.",
            "Update the kit.",
        )


def _read(model: type[Model], values: object, where: str) -> Model:
    """A table of the file as its model."""
    if not isinstance(values, dict):
        raise UsageError(f"{where} is {shortened(repr(values))}, which is no table of keys.")
    refuse_unknown(values, model.model_fields, where)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = first_problem(error).rstrip(".")
        missing = error.errors()[0]["type"] == "missing"
        key = str(error.errors()[0]["loc"][0])
        raise UsageError(
            f"{where} has no {key}." if missing else f"{where}, {problem}.",
            f"Add {key}." if missing else "",
        ) from error


def _stem(values: object, origin: str) -> tuple[Convolution, ...]:
    parts = values if isinstance(values, list) else [values]
    read = [_read(_Convolution, part, f"{origin}, stem") for part in parts]
    return tuple(Convolution(p.kernel, p.channels, p.stride, p.activation) for p in read)


def _stages(space: _Space, origin: str) -> tuple[StageRow, ...]:
    common = _candidates(space.candidates, f"{origin}, candidate", {})
    by_name = {candidate.name: candidate for candidate in common}
    stages = tuple(
        _stage(row, common, by_name, f"{origin}, stage {number}")
        for number, row in enumerate(space.stages, 1)
    )
    used = {candidate for stage in stages for candidate in stage.candidates}
    unused = [candidate.name for candidate in common if candidate not in used]
    if unused and stages:
        raise UsageError(
            f"{origin}: no stage uses the candidate {unused[0]}.",
            "Leave it out, or name it in a stage's candidates.",
        )
    return stages


def _stage(
    row: object, common: tuple[Candidate, ...], known: Mapping[str, Candidate], where: str
) -> StageRow:
    stage = _read(_Stage, row, where)
    if stage.fixed is not None and stage.candidates is not None:
        raise UsageError(f"{where} is fixed and has candidates.", "Leave one of the two out.")
    candidates: tuple[Candidate, ...]
    if stage.fixed is not None:
        candidates = (_candidate(stage.fixed, f"{where}, fixed", known),)
    elif stage.candidates is not None:
        candidates = _candidates(stage.candidates, f"{where}, candidate", known)
    else:
        candidates = common
    if not candidates:
        raise UsageError(
            f"{where} has no candidates.", "List them there, or for all stages at the top."
        )
    return StageRow(
        channels=stage.channels,
        repeats=stage.repeats,
        stride=stage.stride,
        candidates=candidates,
        fixed=stage.fixed is not None,
    )


def _candidates(
    values: Iterable[object], where: str, known: Mapping[str, Candidate]
) -> tuple[Candidate, ...]:
    """A list of candidates, in the order of the file; no two of one name."""
    found: dict[str, Candidate] = {}
    for number, value in enumerate(values, 1):
        candidate = _candidate(value, f"{where} {number}", known)
        if candidate.name in found:
            raise UsageError(
                f"{where} {number}: there is another candidate named {candidate.name}.",
                "Give one of them another name, or leave it out.",
            )
        found[candidate.name] = candidate
    return tuple(found.values())


def _candidate(value: object, where: str, known: Mapping[str, Candidate]) -> Candidate:
    """A candidate by the name of one for all stages, by its words, or as a table."""
    try:
        if isinstance(value, str):
            return known.get(value) or Candidate(value, parse_words(value))
        if not isinstance(value, dict):
            raise UsageError(
                f"{where}: {shortened(value)} is neither words nor a table of keys.",
                'Write "k3_e3", or {kind = "ir", kernel = 3, expansion = 3}.',
            )
        read = _read(_Candidate, value, where)
        given = read.model_dump(exclude_none=True, exclude={"name"})
        block = Block(**given)
        return Candidate(read.name or block.words, block)
    except UsageError as error:
        if error.message.startswith(where) or error.message.endswith(f"{where}."):
            raise
        raise UsageError(f"{where}: {error.message}", error.remedy) from error
