"""The best weights of a training, kept through interruptions."""

import io
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from search.errors import UsageError
from search.files import write_bytes
from search.table.values import Count, Share

BEST = "best.pt"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    kind: Literal["best-weights"]
    schema_version: Literal[1]
    epoch: Count
    accuracy: Share
    state: dict[str, torch.Tensor]


class BestWeights:
    """The weights of the epoch with the highest accuracy; the earliest of equal ones.

    Args:
        folder: Keeps them as `best.pt`; None keeps them in memory.
        resume: Take up those of the interrupted run.

    Attributes:
        epoch: Counted from 1; 0 while there is none.
        accuracy: On the images that were looked at.

    Raises:
        UsageError: The file of the interrupted run cannot be read.
    """

    def __init__(self, folder: Path | None, *, resume: bool) -> None:
        self._path = folder / BEST if folder else None
        self._state: dict[str, torch.Tensor] = {}
        self.epoch, self.accuracy = 0, -1.0
        if resume and self._path is not None and self._path.exists():
            self._read(self._path)

    def _read(self, path: Path) -> None:
        try:
            stored: Any = torch.load(path, map_location="cpu", weights_only=True)
            file = _File.model_validate(stored)
        except ValidationError as error:
            raise UsageError(f"{path} holds no best weights.", "Remove it.") from error
        except Exception as error:  # torch raises many kinds for a damaged file
            raise UsageError(f"{path} is damaged.", "Remove it.") from error
        self._state, self.epoch, self.accuracy = file.state, file.epoch, file.accuracy

    def offer(self, network: nn.Module, epoch: int, accuracy: float) -> None:
        """Keep a network's weights if they are better than all before."""
        if accuracy <= self.accuracy:
            return
        self.epoch, self.accuracy = epoch, accuracy
        self._state = {
            name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()
        }
        if self._path is not None:
            stream = io.BytesIO()
            content = {"kind": "best-weights", "schema_version": 1, "epoch": epoch}
            torch.save({**content, "accuracy": accuracy, "state": self._state}, stream)
            write_bytes(self._path, stream.getvalue())

    def put_into(self, network: nn.Module) -> None:
        """Give a network the best weights, where there are some."""
        if self._state:
            network.load_state_dict(self._state)
