"""The best weights of a training, kept through interruptions."""

import io
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from search.errors import UsageError
from search.files import write_bytes
from search.table.values import Share
from search.training.weights.archive import load_tensors

BEST = "best.pt"
_REMEDY = "Remove it: the best of the epochs that are left will count."


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    kind: Literal["best-weights"]
    schema_version: Literal[1]
    epoch: Annotated[int, Field(ge=1)]
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
            file = _File.model_validate(load_tensors(path, own=True))
        except ValidationError as error:
            raise UsageError(f"{path} holds no best weights.", _REMEDY) from error
        except Exception as error:  # torch raises many kinds for a damaged file
            raise UsageError(f"{path} is damaged.", _REMEDY) from error
        self._state, self.epoch, self.accuracy = file.state, file.epoch, file.accuracy

    def check(self, network: nn.Module) -> None:
        """Make sure that those of an interrupted run are of this network.

        Raises:
            UsageError: Their names or shapes differ, or one is not a number.
        """
        own = {name: tensor.shape for name, tensor in network.state_dict().items()}
        if not self.epoch or {n: t.shape for n, t in self._state.items()} == own:
            if all(bool(tensor.isfinite().all()) for tensor in self._state.values()):
                return
            raise UsageError(f"{self._path} holds weights that are not numbers.", _REMEDY)
        raise UsageError(f"{self._path} holds the best weights of another network.", _REMEDY)

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
