"""On a GPU every method learns what it learns on the CPU."""

import pytest
import torch

from tests.benchmarks.check_gpu import MOST_APART
from tests.benchmarks.gpu_parts import curves_apart


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_losses_of_every_method_are_those_of_the_cpu() -> None:
    assert curves_apart("cuda")["largest"] <= MOST_APART
