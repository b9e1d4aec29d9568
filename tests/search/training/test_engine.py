"""The loop: bit-equal resume, interruption, divergence, refusals."""

import os
import signal
from pathlib import Path

import pytest
import torch

from search.errors import GateFailed, UsageError
from search.training.progress import RunLength, TrainingProgress
from search.training.protocol import Batch, StepReport
from search.training.run.trace import read_trace
from search.training.settings import TrainingSettings
from tests.search.training.standins import (
    CPU,
    METHODS,
    KillAfter,
    Killed,
    Pictures,
    TinySearch,
    run,
    same_bits,
    small_fbnet,
    untimed,
    whole_state,
)


class CtrlC(TrainingProgress):
    """Presses Ctrl-C after so many steps."""

    def __init__(self, steps: int, times: int = 1) -> None:
        super().__init__()
        self.left, self.times = steps, times

    def stepped(self, report: StepReport) -> None:
        self.left -= 1
        if self.left == 0:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)


class Plans(TrainingProgress):
    def __init__(self) -> None:
        super().__init__()
        self.length: RunLength | None = None
        self.steps = 0
        self.notices: list[str] = []
        self.ended = False

    def started(self, length: RunLength) -> None:
        self.length = length

    def stepped(self, report: StepReport) -> None:
        self.steps += 1

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def finished(self) -> None:
        self.ended = True


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", [1, 5, 14])
def test_a_run_killed_anywhere_resumes_bit_by_bit(method: str, steps: int, tmp_path: Path) -> None:
    unbroken = METHODS[method]()
    lines = run(unbroken, tmp_path / "whole")

    with pytest.raises(Killed):
        run(METHODS[method](), tmp_path / "cut", progress=KillAfter(steps), checkpoint_steps=2)
    resumed = METHODS[method]()
    again = run(resumed, tmp_path / "cut", resume=True, checkpoint_steps=2)

    assert same_bits(whole_state(unbroken), whole_state(resumed))
    assert untimed(again) == untimed(lines)
    assert untimed(read_trace(tmp_path / "cut/trace.jsonl")) == untimed(lines)


def test_fbnets_search_resumes_bit_by_bit(tmp_path: Path) -> None:
    images = Pictures(24, side=8)
    unbroken, resumed = small_fbnet(), small_fbnet()
    run(unbroken, images=images)
    with pytest.raises(Killed):
        run(small_fbnet(), tmp_path, images=images, progress=KillAfter(4), checkpoint_steps=3)
    run(resumed, tmp_path, images=images, resume=True)
    state = whole_state(unbroken)
    assert "module multiplier" in state
    assert "theta 0 exp_avg" in state
    assert same_bits(state, whole_state(resumed))


def test_a_run_killed_at_every_single_step_still_ends_bit_by_bit(tmp_path: Path) -> None:
    unbroken = TinySearch(epochs=2)
    lines = run(unbroken)
    attempts, resumed = 0, TinySearch(epochs=2)
    while True:
        resumed = TinySearch(epochs=2)
        try:
            again = run(resumed, tmp_path, resume=True, progress=KillAfter(2), checkpoint_steps=1)
            break
        except Killed:
            attempts += 1
    assert attempts > 8
    assert same_bits(whole_state(unbroken), whole_state(resumed))
    assert untimed(again) == untimed(lines)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", [3, 6, 7])
def test_ctrl_c_keeps_the_very_step_it_came_in(method: str, steps: int, tmp_path: Path) -> None:
    unbroken = METHODS[method]()
    run(unbroken)
    handler = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(METHODS[method](), tmp_path, progress=CtrlC(steps))
    assert signal.getsignal(signal.SIGINT) is handler
    resumed, watcher = METHODS[method](), Plans()
    run(resumed, tmp_path, resume=True, progress=watcher)

    assert watcher.length is not None
    # The step that follows the signal is the last one.
    assert watcher.length.done == steps + 1
    assert watcher.steps == watcher.length.steps - watcher.length.done
    assert same_bits(whole_state(unbroken), whole_state(resumed))


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    watcher = CtrlC(1, times=2)
    with pytest.raises(KeyboardInterrupt):
        run(TinySearch(), tmp_path, progress=watcher)
    assert not (tmp_path / "last.pt").exists()


def test_equal_seeds_give_equal_bits_and_other_seeds_others() -> None:
    found = []
    for seed in (1, 1, 2):
        algorithm = TinySearch(epochs=2)
        run(algorithm, seed=seed)
        found.append(whole_state(algorithm))
    assert same_bits(found[0], found[1])
    assert not same_bits(found[0], found[2])


@pytest.mark.parametrize("loaders", [2, 5])
def test_the_number_of_loaders_changes_nothing(loaders: int) -> None:
    one, many = TinySearch(epochs=2), TinySearch(epochs=2)
    run(one)
    run(many, loaders=loaders)
    assert same_bits(whole_state(one), whole_state(many))


def test_training_learns_what_the_images_show() -> None:
    lines = run(TinySearch(epochs=6), images=Pictures(120))
    weights = [line for line in lines if line.phase == "weights"]
    assert weights[0].accuracy < 0.8 < weights[-1].accuracy
    assert weights[-1].cross_entropy < 0.5 * weights[0].cross_entropy


def test_each_phase_walks_over_its_own_split_once_an_epoch() -> None:
    seen: dict[str, list[int]] = {}

    class Recording(TinySearch):
        def backward(self, phase: str, batch: Batch) -> StepReport:
            for image in batch.images[:, 0, 0, 0].tolist():
                seen.setdefault(f"{self.temperature} {phase}", []).append(image)
            return super().backward(phase, batch)

    images = Pictures(50, plain=True)
    run(Recording(epochs=2), images=images)
    first, second, theta = (
        seen[f"{t} {p}"] for t, p in ((5.0, "weights"), (4.0, "weights"), (4.0, "theta"))
    )
    assert sorted(first) == sorted(second)
    assert first != second
    assert not set(second) & set(theta)
    assert sorted(second + theta) == sorted(images.pixels[:, 0, 0, 0].tolist())


class Diverging(TinySearch):
    """The loss or the gradient is lost at one step of the third epoch."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.calls = what, 0

    def backward(self, phase: str, batch: Batch) -> StepReport:
        report = super().backward(phase, batch)
        self.calls += 1
        if self.calls < 14:
            return report
        if self.what == "gradient":
            self.module.head.weight.grad.fill_(float("inf"))
            return report
        return StepReport(loss=float(self.what), cross_entropy=1.0, correct=0, images=report.images)


@pytest.mark.parametrize("what", ["nan", "inf", "gradient"])
def test_a_loss_that_is_no_number_stops_with_the_last_good_checkpoint(
    what: str, tmp_path: Path
) -> None:
    watcher = Plans()
    with pytest.raises(GateFailed) as error:
        run(Diverging(what), tmp_path, progress=watcher)
    assert "step 2 of weights in epoch 3" in error.value.message
    assert "2 finished epochs" in error.value.message
    assert "learning rate" in error.value.remedy
    assert error.value.exit_code == 1
    assert watcher.ended

    unbroken, resumed = TinySearch(), TinySearch()
    run(unbroken)
    run(resumed, tmp_path, resume=True)
    assert same_bits(whole_state(unbroken), whole_state(resumed))


def test_clipping_bounds_the_step_and_is_part_of_the_identity(tmp_path: Path) -> None:
    loose, tight = TinySearch(epochs=1), TinySearch(epochs=1)
    start = TinySearch(epochs=1).module.head.weight.detach().clone()
    run(loose)
    run(tight, tmp_path, clip_norm=1e-4)
    moved = [(x.module.head.weight - start).norm().item() for x in (loose, tight)]
    assert moved[1] < 0.01 * moved[0]
    with pytest.raises(UsageError, match=r"clip_norm 0\.0001, now None"):
        run(TinySearch(), tmp_path, resume=True)


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run(TinySearch(epochs=1), tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(UsageError, match="holds a run already"):
        run(TinySearch(epochs=1), tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_resuming_a_finished_run_does_nothing_and_returns_its_trace(tmp_path: Path) -> None:
    lines = run(TinySearch(epochs=2), tmp_path)
    watcher, resumed = Plans(), TinySearch(epochs=2)
    again = run(resumed, tmp_path, resume=True, progress=watcher)
    assert watcher.steps == 0
    assert untimed(again) == untimed(lines)


def test_a_lost_trace_does_not_stop_a_resumed_run(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(TinySearch(), tmp_path, progress=KillAfter(9))
    (tmp_path / "trace.jsonl").unlink()
    watcher = Plans()
    lines = run(TinySearch(), tmp_path, resume=True, progress=watcher)
    assert "trace" in watcher.notices[0]
    assert [line.epoch for line in read_trace(tmp_path / "trace.jsonl")] == [1, 1, 2, 2, 3, 3]
    assert len(lines) == 6


def test_a_lower_rate_is_accepted_when_asked_for(tmp_path: Path) -> None:
    run(TinySearch(epochs=1), tmp_path)
    lower = '{"rate": 0.01}'
    with pytest.raises(UsageError, match=r"recipe rate 0\.1, now 0\.01"):
        run(TinySearch(epochs=2), tmp_path, recipe=lower, resume=True)
    lines = run(
        TinySearch(epochs=2, rate=0.01), tmp_path, recipe=lower, resume=True, accept_changes=True
    )
    assert [line.epoch for line in lines] == [0, 1, 1]


def test_nothing_global_is_left_changed(tmp_path: Path) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    threads = torch.get_num_threads()
    algorithm = METHODS["torch-dropout"]()
    torch.set_rng_state(state)
    run(algorithm, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    assert torch.get_num_threads() == threads


def test_the_trace_says_what_each_phase_did() -> None:
    line = run(TinySearch(epochs=2))[-1]
    assert (line.epoch, line.phase, line.images) == (1, "theta", 10)
    assert line.latency_us is not None
    assert 1000 < line.latency_us < 3000
    assert line.progress["temperature"] == 4.0
    assert line.images_per_s == pytest.approx(line.images / line.seconds)
    assert line.memory_mb > 50


@pytest.mark.parametrize("number", [0, 1, 4])
def test_too_few_images_are_refused(number: int) -> None:
    with pytest.raises(UsageError, match="images"):
        run(TinySearch(), images=Pictures(number))


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 1},
        {"loaders": 0},
        {"clip_norm": 0.0},
        {"clip_norm": float("nan")},
        {"checkpoint_steps": 0},
        {"checkpoint_minutes": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        TrainingSettings(**{"batch": 8, "compute": CPU, **wrong})  # type: ignore[arg-type]
