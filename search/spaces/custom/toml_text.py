"""A definition of a space as the text of a TOML file, to be changed by hand."""

import json
from collections.abc import Sequence

from search.operators.spec import ACTIVATIONS
from search.spaces.custom.definition import SpaceDefinition
from search.spaces.layout.model import Candidate, Convolution, Layout, StageRow

_LONGEST = 96
_HEAD = """# A search space. Measure it:  python -m profiler --device host --space FILE
"""


def toml_text(definition: SpaceDefinition) -> str:
    """The definition as TOML; reading it gives an equal one."""
    layout = definition.layout
    common = _common(layout)
    lines = [
        f"name = {_quoted(definition.name)}",
        *([f"description = {_quoted(definition.description)}"] if definition.description else []),
        f"resolution = {definition.resolution}",
        f"classes = {definition.classes}",
        "# Whether blocks of expansion 1 keep their first 1x1 convolution.",
        f"keep_pointwise = {'true' if definition.keep_pointwise else 'false'}",
        "",
        "# What a layer chooses from, where it can stand there; a stage may have its own list.",
        f"candidates = {_list(common)}",
    ]
    for part in layout.stem:
        lines += ["", "[[stem]]", *_convolution(part)]
    for stage in layout.stages:
        lines += ["", "[[stages]]", *_stage(stage, common)]
    lines += ["", "[head]", f"channels = {definition.head_channels}"]
    lines += _activation(layout.head_activation)
    if layout.hidden:
        lines += [f"hidden = {layout.hidden}"]
        lines += [f"hidden_activation = {_quoted(layout.hidden_activation)}"]
    return _HEAD + "\n".join(["schema_version = 1", *lines]) + "\n"


def _common(layout: Layout) -> tuple[Candidate, ...]:
    """The list that most stages choose from."""
    menus = [stage.candidates for stage in layout.stages if not stage.fixed]
    return max(menus, key=menus.count)


def _convolution(part: Convolution) -> list[str]:
    lines = [f"kernel = {part.kernel}", f"channels = {part.channels}", f"stride = {part.stride}"]
    return lines + _activation(part.activation)


def _stage(stage: StageRow, common: tuple[Candidate, ...]) -> list[str]:
    lines = [
        f"channels = {stage.channels}",
        f"repeats = {stage.repeats}",
        f"stride = {stage.stride}",
    ]
    if stage.fixed:
        return [*lines, f"fixed = {_value(stage.candidates[0])}"]
    return (
        lines if stage.candidates == common else [*lines, f"candidates = {_list(stage.candidates)}"]
    )


def _activation(activation: str) -> list[str]:
    return [] if activation == ACTIVATIONS[0] else [f"activation = {_quoted(activation)}"]


def _list(candidates: Sequence[Candidate]) -> str:
    values = [_value(candidate) for candidate in candidates]
    line = f"[{', '.join(values)}]"
    if len(line) <= _LONGEST:
        return line
    return "[\n" + "".join(f"  {value},\n" for value in values) + "]"


def _value(candidate: Candidate) -> str:
    """Its words, or where its name is another a table."""
    block = candidate.block
    if candidate.name == block.words:
        return _quoted(candidate.name)
    given = {"name": candidate.name, "kind": block.kind, **block.given}
    return "{" + ", ".join(f"{key} = {_scalar(value)}" for key, value in given.items()) + "}"


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return (
        _quoted(value)
        if isinstance(value, str)
        else f"{value:.6g}"
        if isinstance(value, float)
        else str(value)
    )


def _quoted(text: str) -> str:
    # JSON's strings are TOML's where no character beyond the basic plane is escaped.
    return json.dumps(text, ensure_ascii=False)
