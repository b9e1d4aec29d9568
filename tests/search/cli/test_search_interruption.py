"""Ctrl-C, kill, and several processes: nothing is lost, and the result is the same."""

import re
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import search.pipeline.methods
import search.pipeline.networks.judging as judging
import search.pipeline.resources
from search.console.progress import Lines
from search.pipeline.networks.inherited import inherited_accuracy
from search.training.engine import train
from search.training.run.checkpoint import dump_checkpoint, parse_checkpoint
from search.training.run.trace import read_trace
from tests.search.cli.conftest import Searched
from tests.search.cli.runner import Desk, Finished
from tests.search.training.two_processes import places_of_two
from tests.waiting import PATIENCE_S

FILES = ("arch.json", "arch.run/scores.json", "arch.run/candidates/candidate-1.json")
RETRAIN = ("--retrain", "--retrain-epochs", "2")


def check_same(desk: Desk, unbroken: Desk) -> None:
    """Results of two searches are the same, times and command lines aside."""
    for name in FILES:
        assert desk.path(name).read_bytes() == unbroken.path(name).read_bytes(), name
    results = [one.json("arch.result.json") for one in (desk, unbroken)]
    for result in results:
        del result["seconds"], result["command"]
    assert results[0] == results[1]
    traces = [read_trace(one.path("arch.run/trace.jsonl")) for one in (desk, unbroken)]
    learnt = [[(line.epoch, line.phase, line.loss, line.accuracy) for line in t] for t in traces]
    assert learnt[0] == learnt[1]
    weights = [torch.load(one.path("arch.pt"), weights_only=True) for one in (desk, unbroken)]
    assert list(weights[0]) == list(weights[1])
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


class Impatient(Lines):
    """Is interrupted after so many training steps of this process."""

    def __init__(self, steps: int, number: signal.Signals = signal.SIGINT) -> None:
        super().__init__()
        self._steps_left, self._number = steps, number

    def advance(self, steps: int = 1, note: str = "") -> None:
        super().advance(steps, note)
        trained = steps if note.startswith("loss") else 0
        self._steps_left -= trained
        if trained and self._steps_left == 0:
            signal.raise_signal(self._number)


def interrupt(desk: Desk, words: list[str], progress: Impatient) -> Finished:
    """Run a command in this process that its progress interrupts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search.pipeline.resources, "make_progress", lambda _: progress)
        ended = desk.call(*words)
    assert (ended.code, ended.out) == (130, ""), ended.err
    assert "--resume" in ended.err
    assert "Traceback" not in ended.err
    return ended


# The search has 3 + 3 + 1 steps, the training 2. Ctrl-C waits for the end of
# the step after it; in the last one for the end of the epoch.
@pytest.mark.thorough
@pytest.mark.parametrize(("steps", "kept"), [(1, 2), (3, 4), (7, 7)])
def test_ctrl_c_after_any_step_then_resume_gives_what_an_unbroken_run_gives(
    desk: Desk, searched: Searched, steps: int, kept: int
) -> None:
    words = desk.words(*RETRAIN)
    interrupt(desk, words, Impatient(steps))
    assert desk.path("arch.run/last.pt").exists()
    assert not desk.path("arch.json").exists()
    resumed = desk.call(*words, "--resume")
    assert resumed.code == 0, resumed.err
    assert f"fbnet: step {kept} of 7" in resumed.err
    check_same(desk, searched.desk)


@pytest.mark.thorough
@pytest.mark.parametrize("steps", [8, 9])
def test_ctrl_c_in_the_training_keeps_the_network_found_and_the_search(
    desk: Desk, searched: Searched, steps: int
) -> None:
    words = desk.words(*RETRAIN)
    interrupt(desk, words, Impatient(steps))
    assert desk.path("arch.json").exists()
    assert desk.path("arch.result.json").exists()
    resumed = desk.call(*words, "--resume")
    assert resumed.code == 0, resumed.err
    assert "fbnet: step 7 of 7" in resumed.err
    assert re.search(r"retrain: step [1-9]", resumed.err)
    check_same(desk, searched.desk)


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_kill_is_heard_as_ctrl_c_is(
    desk: Desk, searched: Searched, number: signal.Signals
) -> None:
    words = desk.words(*RETRAIN)
    interrupt(desk, words, Impatient(5, number))
    resumed = desk.call(*words, "--resume")
    assert resumed.code == 0, resumed.err
    assert "fbnet: step 6 of 7" in resumed.err
    check_same(desk, searched.desk)


class KilledTwice(Impatient):
    """Is killed by two senders, as Slurm and torchrun do."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        super().advance(steps, note)
        if self._steps_left == 0:
            signal.raise_signal(self._number)


def test_a_second_kill_does_not_disturb_the_first(desk: Desk) -> None:
    words = desk.words(*RETRAIN)
    interrupt(desk, words, KilledTwice(2, signal.SIGTERM))
    resumed = desk.call(*words, "--resume")
    assert resumed.code == 0, resumed.err
    assert "fbnet: step 3 of 7" in resumed.err


def test_ctrl_c_while_candidates_are_judged_does_not_train_again(
    desk: Desk, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    words = desk.words(*RETRAIN)
    with monkeypatch.context() as patch:
        patch.setattr(judging.Judge, "rank", interrupted)
        assert desk.call(*words).code == 130
    before = desk.path("arch.run/last.pt").read_bytes()
    resumed = desk.call(*words, "--resume")
    assert resumed.code == 0, resumed.err
    assert desk.path("arch.run/last.pt").read_bytes() == before
    check_same(desk, searched.desk)


@pytest.mark.thorough
def test_candidates_that_were_judged_before_an_interruption_are_not_judged_again(
    desk: Desk, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[tuple[int, ...]] = []
    real = inherited_accuracy

    def third_interrupted(weights: Any, choices: Any, *rest: Any, **more: Any) -> float:
        if len(judged) == 2:
            raise KeyboardInterrupt
        judged.append(choices)
        return real(weights, choices, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(judging, "inherited_accuracy", third_interrupted)
        assert desk.call(*desk.words(*RETRAIN)).code == 130
    again: list[tuple[int, ...]] = []

    def counted(weights: Any, choices: Any, *rest: Any, **more: Any) -> float:
        again.append(choices)
        return real(weights, choices, *rest, **more)

    monkeypatch.setattr(judging, "inherited_accuracy", counted)
    resumed = desk.call(*desk.words(*RETRAIN), "--resume")
    assert resumed.code == 0, resumed.err
    assert not set(judged) & set(again)
    total = len(desk.json("arch.result.json")["candidates"])
    assert len(again) == total - 2
    assert f"judging {total} candidates" in resumed.err
    assert "2 of them judged before" in resumed.err
    assert f"{total} of {total} candidates judged" in resumed.err
    check_same(desk, searched.desk)


@pytest.mark.thorough
def test_the_time_of_a_resumed_search_is_that_of_all_its_parts(desk: Desk) -> None:
    interrupt(desk, desk.words(), Impatient(2))
    path = desk.path("arch.run/last.pt")
    kept = parse_checkpoint(path.read_bytes())
    assert kept.seconds > 0
    path.write_bytes(dump_checkpoint(replace(kept, seconds=1000.0 + kept.seconds)))
    assert desk.call(*desk.words("--resume")).code == 0
    assert desk.json("arch.result.json")["seconds"] > 1000.0


def test_another_target_does_not_go_on_with_a_run(desk: Desk) -> None:
    interrupt(desk, desk.words(), Impatient(2))
    ended = desk.call(*desk.words("--resume", "--target-ms", "5"))
    assert ended.code == 2
    assert "target_us 6000.0, now 5000.0" in ended.err


def test_ctrl_c_between_trials_keeps_the_finished_ones(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = desk.words("--algorithm", "random", "--budget", "3", "--epochs", "1")
    trained: list[int] = []

    def third_interrupted(*args: Any, **options: Any) -> Any:
        trained.append(1)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train(*args, **options)

    monkeypatch.setattr("search.algorithms.baselines.trials.train", third_interrupted)
    assert desk.call(*words).code == 130
    assert desk.call(*words, "--resume").code == 0
    assert len(trained) == 4
    assert len(desk.json("arch.result.json")["candidates"]) == 3


# --- real processes ----------------------------------------------------------


def listen(process: "subprocess.Popen[str]", word: str) -> str:
    """What a process says on standard error up to a line with this word."""
    assert process.stderr is not None
    heard = ""
    for line in process.stderr:
        heard += line
        if word in line:
            break
    return heard


def stop(desk: Desk, words: list[str], number: signal.Signals) -> tuple[int, str]:
    """Start a process, stop it in its third epoch; its exit code and last words."""
    with desk.start(*words) as process:
        listen(process, "epoch 2/10 weights")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert out == ""
    assert "Traceback" not in err
    assert desk.path("arch.run/last.pt").exists()
    assert not desk.path("arch.json").exists()
    return process.returncode, err


def test_a_real_ctrl_c_loses_nothing(desk: Desk, tmp_path: Path) -> None:
    words = ("--epochs", "10", "--retrain", "--retrain-epochs", "1")
    code, err = stop(desk, desk.words(*words), signal.SIGINT)
    assert code == 130
    assert "--resume" in err
    resumed = desk.call(*desk.words(*words), "--resume")
    assert resumed.code == 0, resumed.err
    unbroken = Desk(tmp_path / "unbroken")
    assert unbroken.call(*unbroken.words(*words)).code == 0
    check_same(desk, unbroken)


def test_processes_that_slurm_kills_stop_at_one_step_and_go_on(desk: Desk) -> None:
    words = desk.words("--epochs", "10")
    processes = [desk.start(*words, environment=place) for place in places_of_two()]
    listen(processes[0], "epoch 2/10 weights")
    for process in processes:
        process.send_signal(signal.SIGTERM)
    ends = [process.communicate(timeout=2 * PATIENCE_S)[1] for process in processes]
    assert 0 not in [process.returncode for process in processes]
    assert "".join(ends).count("Interrupted. Finished work is kept") == 2
    kept = parse_checkpoint(desk.path("arch.run/last.pt").read_bytes())
    assert kept.position.epoch >= 1
    resumed = interrupt(desk, [*words, "--resume"], Impatient(1))
    assert re.search(r"fbnet: step [1-9]", resumed.err)


def test_a_killed_process_goes_on_from_its_last_epoch(desk: Desk) -> None:
    words = desk.words("--epochs", "10")
    code, _ = stop(desk, words, signal.SIGKILL)
    assert code == -signal.SIGKILL
    refused = desk.call(*words)
    assert refused.code == 2
    assert "--resume" in refused.err
    ended = interrupt(desk, [*words, "--resume"], Impatient(1))
    assert re.search(r"fbnet: step [1-9]", ended.err)
    assert read_trace(desk.path("arch.run/trace.jsonl"))[0].epoch == 0


def test_two_processes_write_one_result_and_both_end_well(desk: Desk) -> None:
    words = desk.words(*RETRAIN, "--format", "json")
    processes = [desk.start(*words, environment=place) for place in places_of_two()]
    said = [process.communicate(timeout=2 * PATIENCE_S) for process in processes]
    out, err = ("".join(texts) for texts in zip(*said, strict=True))
    assert [process.returncode for process in processes] == [0, 0], err
    assert out.count('"schema_version"') == 1
    assert err.count("digits: 10 classes") == 1
    results = [path.name for path in desk.folder.glob("*.json")]
    assert sorted(results) == ["arch.images.json", "arch.json", "arch.result.json"]
    assert torch.load(desk.path("arch.pt"), weights_only=True)
