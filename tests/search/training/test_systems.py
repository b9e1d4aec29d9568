"""Every search method: killed and resumed bit by bit; two processes have the gradients of one."""

from pathlib import Path

import pytest
import torch

from search.training.compute.distributed import ProcessGroup
from tests.search.training.standins import (
    KillAfter,
    Killed,
    Pictures,
    run,
    same_bits,
    untimed,
    whole_state,
)
from tests.search.training.systems import NUMBER, SIDE, SYSTEMS
from tests.search.training.two_processes import gradients, run_pair

pytestmark = pytest.mark.thorough

IMAGES = Pictures(NUMBER, side=SIDE)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_run_that_was_killed_goes_on_bit_by_bit(name: str, tmp_path: Path) -> None:
    unbroken = SYSTEMS[name](0)
    trace = run(unbroken, images=IMAGES)
    # After the first epoch, in the middle of the second.
    with pytest.raises(Killed):
        run(
            SYSTEMS[name](0),
            tmp_path,
            images=IMAGES,
            progress=KillAfter(6),
            checkpoint_steps=1,
        )
    resumed = SYSTEMS[name](1)
    found = run(resumed, tmp_path, images=IMAGES, resume=True)
    assert same_bits(whole_state(resumed), whole_state(unbroken))
    assert untimed(found) == untimed(trace)


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory,
) -> list[dict[str, list[dict[str, torch.Tensor]]]]:
    return run_pair(tmp_path_factory.mktemp("pair"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_two_processes_have_the_gradients_of_one(
    name: str, pair: list[dict[str, list[dict[str, torch.Tensor]]]]
) -> None:
    expected = gradients(SYSTEMS[name](0), ProcessGroup())
    for process in pair:
        assert len(process[name]) == len(expected) > 2
        for found, right in zip(process[name], expected, strict=True):
            assert found.keys() == right.keys()
            for parameter, gradient in right.items():
                torch.testing.assert_close(found[parameter], gradient, atol=1e-6, rtol=1e-6)
