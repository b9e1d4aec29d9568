"""Bad programs, items and plans: each is told once and harms nothing else."""

import os
from pathlib import Path

import pytest

from device_agents.protocol import Failure, Loaded, Sample
from tests.device_agents.native.launching import item, launch, only, plan, run
from tests.device_agents.native.programs import Program


def break_file(how: str, good: bytes, path: Path) -> None:
    contents = {
        "empty": b"",
        "short": good[:40],
        "half": good[: len(good) // 2],
        "one byte less": good[:-1],
        "garbage": bytes(range(256)) * 40,
        "header, then garbage": good[:64] + b"\xff" * len(good),
    }
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif how != "missing":
        path.write_bytes(contents[how])


@pytest.mark.parametrize(
    "how",
    [
        *("missing", "empty", "short", "half", "one byte less", "garbage"),
        *("header, then garbage", "folder", "pipe", "huge"),
    ],
)
def test_a_broken_program_is_one_failure_and_the_others_go_on(
    how: str, runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    good = programs["contiguous"].file
    bad = tmp_path / "bad.pte"
    break_file(how, good.read_bytes(), bad)
    records = run(runner, plan(item(bad, 0), item(good, 1), sentinel=0))
    assert [(f.item, f.kind) for f in only(Failure, records)] == [(0, "load")]
    assert [s.item for s in only(Sample, records)] == [1, 1]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"method": "backward"}, "load", "InvalidArgument"),
        ({"input": "{folder}/short"}, "input", "the file has 3 bytes, the inputs 756"),
        ({"input": "{folder}/absent"}, "input", "No such file"),
        ({"output": "{folder}/absent/output"}, "output", "No such file"),
    ],
)
def test_what_an_item_asks_in_vain_is_its_failure(
    changes: dict[str, str],
    kind: str,
    message: str,
    runner: Path,
    programs: dict[str, Program],
    tmp_path: Path,
) -> None:
    (tmp_path / "short").write_bytes(b"abc")
    asked = {name: value.format(folder=tmp_path) for name, value in changes.items()}
    good = programs["contiguous"].file
    records = run(runner, plan(item(good, 0, **asked), item(good, 1)))
    failure = only(Failure, records)[0]
    assert (failure.item, failure.kind) == (0, kind)
    assert message in failure.message
    assert [s.item for s in only(Sample, records)] == [1, 1]


def test_an_item_that_fails_midway_fails_once_and_is_visited_no_more(
    runner: Path, programs: dict[str, Program]
) -> None:
    items = [item(programs["countdown"].file, 0, loops=4), item(programs["two_inputs"].file, 1)]
    records = run(runner, plan(*items, rounds=12, max_attempts=1))
    assert [(f.item, f.kind) for f in only(Failure, records)] == [(0, "execute")]
    assert "0x12" in only(Failure, records)[0].message
    rounds = [s.round for s in only(Sample, records) if s.item == 0]
    assert rounds == list(range(6))  # one call, then two and four a round
    assert sum(s.item == 1 for s in only(Sample, records)) == 12


def test_a_truncated_or_flipped_header_does_not_kill_the_runner(
    runner: Path, programs: dict[str, Program], tmp_path: Path
) -> None:
    good = programs["contiguous"].file.read_bytes()
    broken = [good[:at] for at in range(0, 64, 8)]
    # The magics, the sizes and the root offset; a flip further in may well
    # pass the runtime's checks and kill a delegate.
    for at in range(32):
        broken.append(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
    files = [tmp_path / str(number) for number in range(len(broken))]
    for file, content in zip(files, broken, strict=True):
        file.write_bytes(content)
    items = [item(file, number) for number, file in enumerate(files)]
    records = run(runner, plan(*items, rounds=1))
    ended = [r.item for r in records if isinstance(r, Loaded | Failure)]
    assert ended == list(range(len(files)))
    assert len(only(Failure, records)) > len(files) / 2


GOOD = '"nonce":"n","backend":"b","threads":1,"order_seed":1,"rounds":0,"items":[]'


def with_field(text: str) -> str:
    return f"{{{GOOD},{text}}}"


@pytest.mark.parametrize(
    "line",
    [
        *("", "{", "[]", "null", f"{{{GOOD}", f"{{{GOOD}}} x", "[" * 100_000),
        f"{{{GOOD}}}".replace('"rounds":0,', ""),
        f"{{{GOOD}}}".replace("[]", '[{"id":1}]'),
        *map(with_field, ('"colour":1', '"warmup":0', '"warmup":1.5', '"schema_version":2')),
        *map(with_field, ('"sentinel":3', '"max_loops":99999999999999999999')),
    ],
)
def test_a_bad_plan_is_one_line_on_stderr_and_exit_code_2(line: str, runner: Path) -> None:
    done = launch(runner, "--serve", text=f"{line}\n{{{GOOD}}}\n")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "bad plan" in done.stderr


def test_a_plan_can_come_from_a_file(runner: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(f"{{{GOOD}}}")
    done = launch(runner, str(file))
    assert done.returncode == 0
    assert '"type":"bye"' in done.stdout
    assert launch(runner, str(tmp_path / "absent")).returncode == 2
    assert launch(runner).returncode == 2
