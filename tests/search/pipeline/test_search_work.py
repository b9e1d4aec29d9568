"""What judging takes of a search, counted in multiplications, not in seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search.algorithms.fbnet.recipe import FBNetRecipe
from search.algorithms.fp_nas.recipe import CategoricalRecipe
from search.pipeline.networks import judging
from search.pipeline.networks.search_work import SpaceWork, search_passes
from search.pipeline.options import DataOptions, SearchOptions
from search.pipeline.problem import Waivers, untimed_problem, weigh
from search.pipeline.resources import ComputeOptions
from search.pipeline.run import run_search
from search.spaces.base import LayeredSpace
from search.spaces.registry import make_space

SPEC = make_space("fbnet-mini", resolution=16).spec


class Work:
    """Multiply-adds of convolutions, with their backward passes; apart what judging does."""

    def __init__(self) -> None:
        self.search = self.judging = 0.0

    def add(self, module: nn.Module, _: Any, output: Tensor) -> None:
        """For a hook after a module's forward pass."""
        if not isinstance(module, nn.Conv2d):
            return
        work = output.numel() * float(module.weight[0].numel())
        if not torch.is_grad_enabled():
            self.judging += work
        else:
            # Backward: one pass for the inputs' gradients, one for the weights' where wanted.
            self.search += work * (3 if module.weight.requires_grad else 2)


@contextmanager
def counted() -> Iterator[Work]:
    work = Work()
    handle = nn.modules.module.register_module_forward_hook(work.add)
    try:
        yield work
    finally:
        handle.remove()


def _options(folder: Path, *settings: str) -> SearchOptions:
    return SearchOptions(
        algorithm="fbnet",
        images=DataOptions(source="digits", limit=240),
        recipe="cpu",
        epochs=4,
        batch=32,
        learning_rate=None,
        budget=None,
        scores=None,
        seed=0,
        output=folder / "net.json",
        run=folder / "net.run",
        retrain=False,
        retrain_epochs=None,
        resume=False,
        accept_changes=False,
        quiet=True,
        settings=("samples=2", *settings),
    )


@pytest.mark.parametrize("by", ["distribution", "judged"])
def test_judging_takes_a_tenth_of_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(judging, "_LEAST", 4)  # few images are enough to count
    free = untimed_problem(SPEC, None, "flops", Waivers())
    problem = weigh(free, "flops", target_mflops=free.costs.dearest() / 1e6)
    settings = (f"scores.by={by}", "scores.networks=15", "negligible=0.0")
    with counted() as work:
        run_search(problem, _options(tmp_path, *settings), ComputeOptions(threads=1))
    assert work.search > 0
    assert 0.05 < work.judging / work.search < 0.11


def test_passes_are_those_of_the_networks_that_each_phase_runs(mini: LayeredSpace) -> None:
    work = SpaceWork(mean=1e6, mixture=5.0, widest=9)
    values: dict[str, Any] = {"epochs": 4, "batch": 8, "freeze_epochs": 2, "weight_share": 0.75}
    # Weights: three passes; theta, of two epochs, two.
    passes = search_passes("fbnet", FBNetRecipe(**values), work, 100)
    assert passes == pytest.approx(100 * 5 * (3 * 0.75 * 4 + 2 * 0.25 * 2))
    values |= {"weight_rate": 0.1, "draws": 6}
    alpha = 0.25 * 2 * 6  # forward alone
    for changes, networks in (
        ({}, 4 * 6),
        ({"sampling": "uniform"}, 2 * 1 + 2 * 6),
        ({"sampling": "fair"}, 2 * 9 + 2 * 6),
        ({"sampling": "mixture", "sampling_epochs": 4}, 4 * 5),
    ):
        recipe = CategoricalRecipe(**values, **changes)
        passes = search_passes("fp-nas", recipe, work, 100)
        assert passes == pytest.approx(100 * (3 * 0.75 * networks + alpha))
    # A mixture runs stem and head once, and every candidate.
    mine = SpaceWork.of(mini)
    assert 1 < mine.mixture < mine.widest
    assert mine.networks([round(mine.mean)] * 3) == pytest.approx(3)
