"""Checkpoint files: whole or refused, of the same run or refused, never executed."""

import dataclasses
import io
import json
import os
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import search.training.run.checkpoint as module_under_test
from search.errors import GateFailed, StorageError, UsageError
from search.training.run.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    Position,
    dump_checkpoint,
    parse_checkpoint,
    restore,
)
from search.training.settings import RunIdentity, recipe_text
from search.training.step import RunningSums
from tests.search.training.standins import Pictures, TinySearch, recipe, run

IDENTITY = RunIdentity(
    algorithm="fbnet",
    space="fbnet-mini",
    data="50 images, abc",
    recipe='{"rate": 0.1, "epochs": 3}',
    settings='{"batch": 8}',
    table_id="t1",
    kit_version="1.0",
)


def checkpoint(**changes: object) -> Checkpoint:
    algorithm = TinySearch()
    base = Checkpoint(
        identity=IDENTITY,
        position=Position(epoch=1, phase=1, step=7),
        sums=RunningSums(loss=0.1, correct=3.0, images=8.0, seconds=1.5),
        trace_bytes=123,
        seconds=4.5,
        module=algorithm.module.state_dict(),
        optimizers={n: o.state_dict() for n, o in algorithm.optimizers.items()},
        statistics=torch.rand(2, 5),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


CONTENT = dump_checkpoint(checkpoint())


def rewritten(**changes: object) -> bytes:
    stream = io.BytesIO()
    torch.save({**torch.load(io.BytesIO(CONTENT), weights_only=True), **changes}, stream)
    return stream.getvalue()


def test_a_checkpoint_is_read_back_as_it_was_written() -> None:
    written = checkpoint()
    found = parse_checkpoint(dump_checkpoint(written))
    for name in ("identity", "position", "sums", "trace_bytes", "seconds"):
        assert getattr(found, name) == getattr(written, name)
    assert found.statistics is not None
    assert torch.equal(found.statistics, written.statistics)
    assert found.module.keys() == written.module.keys()
    assert all(torch.equal(found.module[name], written.module[name]) for name in found.module)


def test_the_words_of_the_file_are_those_of_every_version() -> None:
    stored = torch.load(io.BytesIO(CONTENT), weights_only=True)
    assert list(stored) == [
        "kind",
        "schema_version",
        "torch_version",
        "origin",
        "position",
        "sums",
        "trace_bytes",
        "module",
        "optimizers",
        "statistics",
        "seconds",
        "loss_scale",
        "good_steps",
    ]
    assert stored["origin"] == dataclasses.asdict(IDENTITY)
    assert list(stored["origin"]) == [
        "algorithm",
        "space",
        "data",
        "recipe",
        "settings",
        "table_id",
        "kit_version",
    ]


@given(st.floats(0, 0.999))
def test_a_truncated_checkpoint_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="damaged"):
        parse_checkpoint(CONTENT[: int(share * len(CONTENT))])


@given(st.binary(max_size=300))
def test_garbage_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError, match="damaged"):
        parse_checkpoint(content)


def test_a_flipped_bit_in_any_tensor_is_refused() -> None:
    with zipfile.ZipFile(io.BytesIO(CONTENT)) as archive:
        entries = [x for x in archive.infolist() if "/data/" in x.filename]
    assert len(entries) > 5
    for entry in entries:
        damaged = bytearray(CONTENT)
        # Behind the local header: 30 bytes, the name, and padding as long as it says.
        start = entry.header_offset
        extra = int.from_bytes(damaged[start + 28 : start + 30], "little")
        damaged[start + 30 + len(entry.filename) + extra] ^= 1
        with pytest.raises(UsageError, match="damaged"):
            parse_checkpoint(bytes(damaged))


class Bomb:
    """Unpickling it would create a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    stream = io.BytesIO()
    torch.save({"schema_version": 1, "module": Bomb(trap)}, stream)
    with pytest.raises(UsageError, match="damaged"):
        parse_checkpoint(stream.getvalue())
    assert not trap.exists()
    # The trap works where pickles are executed.
    torch.load(io.BytesIO(stream.getvalue()), weights_only=False)
    assert trap.exists()


def test_a_checkpoint_of_the_first_schema_is_read_as_if_it_had_taken_no_time() -> None:
    content = torch.load(io.BytesIO(CONTENT), weights_only=True)
    del content["seconds"], content["loss_scale"], content["good_steps"]
    stream = io.BytesIO()
    torch.save({**content, "schema_version": 1}, stream)
    found = parse_checkpoint(stream.getvalue())
    assert (found.seconds, found.position) == (0.0, checkpoint().position)
    assert (found.loss_scale, found.good_steps) == (1.0, 0)


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(UsageError, match="schema 4, newer than 3"):
        parse_checkpoint(rewritten(schema_version=4))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "weights"},
        {"schema_version": 0},
        {"position": {"epoch": "one"}},
        {"sums": None},
        {"seconds": -1.0},
        {"module": [1, 2]},
        {"surplus": 1},
    ],
)
def test_a_file_of_another_shape_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="not a checkpoint"):
        parse_checkpoint(rewritten(**changes))


def test_a_state_dict_alone_is_no_checkpoint() -> None:
    stream = io.BytesIO()
    torch.save(TinySearch().module.state_dict(), stream)
    with pytest.raises(UsageError, match="not a checkpoint"):
        parse_checkpoint(stream.getvalue())


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("algorithm", "parsec", "method fbnet, now parsec"),
        ("space", "fbnet", "search space fbnet-mini, now fbnet"),
        ("space", "x" * 99, f"search space fbnet-mini, now {'x' * 57}..."),
        ("data", "60 images, abc", "images 50 images, abc, now 60 images, abc"),
        ("table_id", None, "latency table t1, now None"),
        ("recipe", '{"rate": 0.1, "epochs": 4}', "recipe epochs 3, now 4"),
        ("settings", '{"batch": 16}', "engine settings batch 8, now 16"),
        ("kit_version", "2.0", "kit version 1.0, now 2.0"),
    ],
)
@pytest.mark.parametrize("accept", [False, True])
def test_a_checkpoint_of_another_run_is_refused_saying_what_differs(
    field: str, value: object, sentence: str, accept: bool, tmp_path: Path
) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.write(checkpoint(), epoch_ended=False)
    expected = dataclasses.replace(IDENTITY, **{field: value})  # type: ignore[arg-type]
    if accept and field in ("recipe", "settings", "kit_version"):
        assert folder.read(expected, accept_changes=True).position.step == 7
        return
    with pytest.raises(UsageError) as error:
        folder.read(expected, accept_changes=accept)
    assert f"is of another run: {sentence}." in error.value.message


def test_good_stays_while_last_moves_on(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.write(checkpoint(position=Position(epoch=2)), epoch_ended=True)
    folder.write(checkpoint(position=Position(epoch=2, step=5)), epoch_ended=False)
    steps = [parse_checkpoint(x.read_bytes()).position.step for x in (folder.good, folder.last)]
    assert steps == [0, 5]
    folder.write(checkpoint(position=Position(epoch=3)), epoch_ended=True)
    assert parse_checkpoint(folder.good.read_bytes()).position.epoch == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.pt", "last.pt"]


def test_weights_that_are_no_numbers_are_not_kept_but_a_barred_candidate_is(
    tmp_path: Path,
) -> None:
    folder = CheckpointFolder(tmp_path)
    state = TinySearch().module.state_dict()
    state["theta"][0] = -float("inf")
    folder.write(checkpoint(module=state), epoch_ended=True)
    before = folder.last.read_bytes()
    state["head.bias"][1] = float("nan")
    with pytest.raises(GateFailed, match=r"head\.bias"):
        folder.write(checkpoint(module=state), epoch_ended=True)
    assert folder.last.read_bytes() == before


def test_a_full_disk_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.write(checkpoint(), epoch_ended=True)
    before = folder.last.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module_under_test, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left"):
        folder.write(checkpoint(position=Position(epoch=9)), epoch_ended=True)
    assert folder.last.read_bytes() == before


def test_state_of_another_module_or_other_optimisers_is_refused() -> None:
    algorithm = TinySearch()
    with pytest.raises(UsageError, match="does not fit"):
        restore(checkpoint(), torch.nn.Linear(2, 2), dict(algorithm.optimizers))
    with pytest.raises(UsageError, match="does not fit"):
        restore(checkpoint(), algorithm.module, {})
    wrong = {name: torch.optim.SGD([torch.ones(1)], lr=1) for name in algorithm.optimizers}
    with pytest.raises(UsageError, match="does not fit"):
        restore(checkpoint(), algorithm.module, wrong)


def test_a_damaged_last_checkpoint_points_to_the_good_one(tmp_path: Path) -> None:
    run(TinySearch(epochs=1), tmp_path)
    (tmp_path / "last.pt").write_bytes(CONTENT[:500])
    with pytest.raises(UsageError, match="damaged") as error:
        run(TinySearch(epochs=1), tmp_path, resume=True)
    assert "good.pt" in error.value.remedy
    (tmp_path / "last.pt").write_bytes((tmp_path / "good.pt").read_bytes())
    assert len(run(TinySearch(epochs=1), tmp_path, resume=True)) == 1


def test_other_images_or_another_space_are_refused_by_the_engine(tmp_path: Path) -> None:
    run(TinySearch(epochs=1), tmp_path)
    with pytest.raises(UsageError, match="images 50 images"):
        run(TinySearch(epochs=1), tmp_path, images=Pictures(51), resume=True)
    with pytest.raises(UsageError, match="search space tiny, now huge"):
        run(TinySearch(epochs=1), tmp_path, space="huge", resume=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 99))
def test_a_recipe_is_written_the_same_way_each_time(epochs: int) -> None:
    text = recipe_text(recipe(epochs=epochs))
    assert json.loads(text)["epochs"] == epochs
    assert text == recipe_text(recipe(epochs=epochs))
