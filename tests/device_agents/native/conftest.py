"""The native runner, built once, and programs for it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from device_agents.native import build as native
from tests.device_agents.native.programs import Program, lower


@pytest.fixture(scope="session", autouse=True)
def wheels() -> None:
    """The runner links with the libraries of both."""
    pytest.importorskip("torch", reason="the native runner links with torch's libraries")
    pytest.importorskip("executorch.exir", reason="the native runner links with ExecuTorch's wheel")


@pytest.fixture(scope="session")
def runner() -> Path:
    if native.find() is None and not any(map(shutil.which, native.COMPILERS)):
        pytest.skip("no C++ compiler to build the native runner with")
    return native.build()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program]:
    import torch

    class Two(torch.nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return x + y, x * y

    class Countdown(torch.nn.Module):
        """Fails at its 40th call."""

        calls: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1, dtype=torch.int64))

        def forward(self, x: Any) -> Any:
            self.calls.add_(1)
            return x.index_select(0, self.calls)

    torch.manual_seed(0)
    conv = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU())
    image = torch.randn(1, 3, 9, 7)
    cases = {
        "contiguous": (conv, (image,)),
        "channels_last": (conv, (image.to(memory_format=torch.channels_last),)),
        "two_inputs": (Two(), (torch.randn(2, 3), torch.randn(2, 3))),
        "integers": (Two(), (torch.arange(6), torch.arange(6) * 7)),
        "countdown": (Countdown(), (torch.randn(40, 2),)),
    }
    folder = tmp_path_factory.mktemp("programs")
    return {name: lower(folder / f"{name}.pte", *case) for name, case in cases.items()}
