"""Files that a search or a training leaves behind: damaged ones are refused when it goes on."""

import dataclasses
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from search.errors import KitError
from search.sweep.outcome import FAILED, RESULT, Outcome, read_outcome
from search.training.run.checkpoint import dump_checkpoint, parse_checkpoint
from tests.hostile.conftest import Material, refused, tried
from tests.hostile.damage import BYTES, DEEP, JSON, LONG, NO_NUMBERS, Damage
from tests.hostile.watchdog import run, watched

SMALL = ("--data", "digits", "--limit", "40", "--batch", "16", "--threads", "1", "--quiet")


class Owned:
    """Leaves a mark where a file of it is executed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("owned"),)


def _pickled(_: bytes) -> bytes:
    return pickle.dumps({"state_dict": Owned()})


def _archive_of_a_pickle(_: bytes) -> bytes:
    stream = io.BytesIO()
    torch.save({"state_dict": Owned()}, stream)
    return stream.getvalue()


def _unpacking_to_much(content: bytes) -> bytes:
    """The same names, one of zeros that take no room."""
    with zipfile.ZipFile(io.BytesIO(content)) as whole:
        return _zeros(whole.namelist()[0])


@cache
def _zeros(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, bytes(2**28))
    return stream.getvalue()


def _flipped(content: bytes) -> bytes:
    """One bit in the middle, which torch does not notice."""
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _saved(content: object) -> Damage:
    stream = io.BytesIO()
    torch.save(content, stream)
    return lambda _: stream.getvalue()


def _stored(change: Callable[[dict[str, Any]], object]) -> Damage:
    """An archive with something done to what it holds."""

    def damage(content: bytes) -> bytes:
        held = torch.load(io.BytesIO(content), weights_only=True)
        change(held)
        stream = io.BytesIO()
        torch.save(held, stream)
        return stream.getvalue()

    return damage


def _tensors(name: str) -> tuple[Callable[[dict[str, Any]], object], ...]:
    """What can be wrong with tensors by name."""
    return (
        lambda held: held[name].popitem(),
        lambda held: held[name].update(dict.fromkeys(list(held[name])[:1], torch.zeros(3))),
        lambda held: held[name].update(further=torch.zeros(3)),
        lambda held: held[name].update(further="text"),
        lambda held: held[name].clear(),
    )


def _by_number(changes: tuple[Callable[[dict[str, Any]], object], ...]) -> dict[str, Damage]:
    names = ("one lacks", "another shape", "one too many", "a text", "none")
    return {
        f"tensors: {name}": _stored(change) for name, change in zip(names, changes, strict=True)
    }


ARCHIVE: dict[str, Damage] = {
    **BYTES,
    "a pickle": _pickled,
    "an archive of a pickle": _archive_of_a_pickle,
    "an archive that unpacks to a thousand times its size": _unpacking_to_much,
    "a list": _saved([1, 2]),
    "a flipped bit": _flipped,
}
CHECKPOINT: dict[str, Damage] = {
    **ARCHIVE,
    **_by_number(_tensors("module")),
    "another kind": _stored(lambda held: held.update(kind="best-weights")),
    "a newer schema": _stored(lambda held: held.update(schema_version=99)),
    "a schema of true": _stored(lambda held: held.update(schema_version=True)),
    "a step below zero": _stored(lambda held: held["position"].update(step=-1)),
    "an epoch that is a text": _stored(lambda held: held["position"].update(epoch="first")),
    "seconds of NaN": _stored(lambda held: held.update(seconds=float("nan"))),
    "optimisers of another method": _stored(lambda held: held.update(optimizers={"x": {}})),
    "an optimiser of nothing": _stored(
        lambda held: held["optimizers"].update({key: {} for key in held["optimizers"]})
    ),
    "a recipe that is none": _stored(lambda held: held["origin"].update(recipe=DEEP)),
    "a space that is none": _stored(lambda held: held["origin"].update(space="no-space")),
}
BEST: dict[str, Damage] = {
    **ARCHIVE,
    **_by_number(_tensors("state")),
    "a checkpoint": _stored(lambda held: held.update(kind="training-checkpoint")),
    "an accuracy of seven": _stored(lambda held: held.update(accuracy=7.0)),
    "an accuracy of NaN": _stored(lambda held: held.update(accuracy=float("nan"))),
    "an epoch below zero": _stored(lambda held: held.update(epoch=-1)),
}


def _line(number: int, text: str) -> Damage:
    """A file of lines with another one in place of line `number`."""

    def damage(content: bytes) -> bytes:
        lines = content.split(b"\n")
        lines[number] = text.encode()
        return b"\n".join(lines)

    return damage


def _field(name: str, text: str) -> Damage:
    """The first trial with this text as a field."""

    def damage(content: bytes) -> bytes:
        row = json.loads(content.split(b"\n")[1])
        row[name] = "HERE"
        return _line(1, json.dumps(row).replace('"HERE"', text))(content)

    return damage


LINES: dict[str, Damage] = {
    **BYTES,
    "deep nesting": _line(1, DEEP),
    "thousands of digits": _line(1, LONG),
    "another first line": _line(0, '{"identity": "elsewhere"}'),
    "a first line of a trace": _line(0, '{"kind": "trace", "schema_version": 1}'),
    "choices that are texts": _field("choices", '["k3_e1"]'),
    "choices of true": _field("choices", "[true]"),
    "choices of thousands of digits": _field("choices", f"[{LONG}]"),
    "an unknown field": _field("further", "1"),
    "a score and a reason": _field("failed", '"no"'),
    "half a character": _field("choices", '"\\ud800"'),
    **{f"a score of {text[:9]}": _field("score", text) for text in NO_NUMBERS},
}
# An empty file is that of a search that was killed at once.
BEGUN_ANEW = {("trials.jsonl", "empty")}
# Nothing came after the line that was cut off.
SHORTER = {("trials.jsonl", "cut in the middle")}


@dataclasses.dataclass(frozen=True)
class Runs:
    """Folders of finished runs, and the words that go on with each."""

    folder: Path
    words: Mapping[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def runs(material: Material) -> Runs:
    """A search with shared weights, one by trials, and a training."""
    folder = material.folder / "runs"
    of_table = ("search", "--table", str(material.table), "--target-ms", "5", "--allow-simulated")
    words = {
        "shared": (*of_table, *SMALL, "--epochs", "1", "-o", str(folder / "a.json")),
        "trials": (*of_table, *SMALL, "--epochs", "1", "-o", str(folder / "b.json"),
                   "--algorithm", "random", "--budget", "1"),
        "training": ("search", "train", material.path("net.json"), *SMALL, "--epochs", "1",
                     "-o", str(folder / "c.pt")),
    }  # fmt: skip
    for name, command in words.items():
        option = ("--run", str(folder / name))
        ended = run(*command, *option)
        assert ended.code == 0, ended.told
        words[name] = (*command, "--resume", "--run")
    return Runs(folder, words)


CASES: Mapping[str, tuple[str, Mapping[str, Damage]]] = {
    "last.pt": ("shared", CHECKPOINT),
    "trials.jsonl": ("trials", LINES),
    "best.pt": ("training", BEST),
}


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file, (_, damages) in CASES.items() for name in damages]
)
def test_a_run_goes_on_from_whole_files_alone(
    runs: Runs, tmp_path: Path, file: str, name: str
) -> None:
    kind, damages = CASES[file]
    copy = shutil.copytree(runs.folder / kind, tmp_path / kind)
    path = copy / file
    path.write_bytes(damages[name](path.read_bytes()))
    ended = run(*runs.words[kind], str(copy))
    if (file, name) in BEGUN_ANEW | SHORTER:
        assert (ended.code, ended.faults()) == (0, []), ended.told
    else:
        refused(ended)
        assert file in ended.err or "checkpoint" in ended.err, ended.told
    assert not Path("owned").exists()


@pytest.mark.parametrize("kind", ["shared", "trials", "training"])
def test_a_whole_run_goes_on(runs: Runs, kind: str) -> None:
    ended = tried(*runs.words[kind], str(runs.folder / kind))
    assert ended.code == 0, ended.told


@pytest.mark.parametrize("name", ARCHIVE)
def test_damaged_weights_are_refused(runs: Runs, material: Material, name: str) -> None:
    weights = runs.folder / "d.pt"
    weights.write_bytes(ARCHIVE[name]((runs.folder / "c.pt").read_bytes()))
    net, of_weights = material.path("net.json"), ("--weights", str(weights), "--data", "digits")
    for words in (
        ("search", "evaluate", net, *of_weights, "--limit", "20"),
        ("deploy", net, *of_weights, "--device", "simulated"),
    ):
        if name == "a flipped bit":  # nothing says what they were
            assert run(*words).faults() == []
        else:
            refused(run(*words), "d.pt")
    assert not Path("owned").exists()


@pytest.mark.parametrize("name", JSON)
def test_a_damaged_note_on_images_is_refused(runs: Runs, material: Material, name: str) -> None:
    weights = runs.folder / "e.pt"
    shutil.copy(runs.folder / "c.pt", weights)
    note = runs.folder / "e.images.json"
    note.write_bytes(JSON[name]((runs.folder / "c.images.json").read_bytes()))
    words = ("--weights", str(weights), "--data", "digits", "--device", "simulated")
    refused(run("deploy", material.path("net.json"), *words), "e.images.json")


@pytest.mark.parametrize("name", JSON)
def test_a_run_of_a_sweep_with_a_damaged_result_has_not_finished(
    runs: Runs, tmp_path: Path, name: str
) -> None:
    (tmp_path / RESULT).write_bytes(JSON[name]((runs.folder / "b.result.json").read_bytes()))
    with watched():
        assert read_outcome(tmp_path, 0, retrained=False) is None


@pytest.mark.parametrize("name", BYTES)
def test_the_last_words_of_a_failed_run_are_text_or_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / FAILED).write_bytes(BYTES[name](b"it was too hot\n" * 5))
    told: object = None
    with watched():
        try:
            told = read_outcome(tmp_path, 0, retrained=False)
        except KitError as error:
            told = str(error)
    assert told is not None
    assert isinstance(told, Outcome) or FAILED in str(told)


def test_a_checkpoint_is_what_was_written(runs: Runs) -> None:
    content = (runs.folder / "shared" / "last.pt").read_bytes()
    assert parse_checkpoint(dump_checkpoint(parse_checkpoint(content))).position == (
        parse_checkpoint(content).position
    )
