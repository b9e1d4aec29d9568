"""Bytes that autograd keeps for the backward pass: how many at once, at the most."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class SavedBytes:
    """Storages alive for the backward pass; equal ones count once, parameters never.

    Attributes:
        peak: The most bytes at once so far.
    """

    def __init__(self, module: nn.Module) -> None:
        tensors = (*module.parameters(), *module.buffers())
        self._known = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        self._holders: Counter[int] = Counter()
        self._now = self.peak = 0

    @contextmanager
    def watching(self) -> Iterator["SavedBytes"]:
        """Count what graphs made inside keep."""
        with torch.autograd.graph.saved_tensors_hooks(_Held.pack(self), lambda held: held.tensor):
            yield self

    def hold(self, pointer: int, size: int) -> None:
        """One more holder of a storage."""
        self._holders[pointer] += 1
        if self._holders[pointer] == 1 and pointer not in self._known:
            self._now += size
            self.peak = max(self.peak, self._now)

    def release(self, pointer: int, size: int) -> None:
        """One holder less."""
        self._holders[pointer] -= 1
        if not self._holders[pointer] and pointer not in self._known:
            self._now -= size


class _Held:
    """A saved tensor; when the graph lets go of it, the count falls."""

    def __init__(self, tensor: Tensor, owner: SavedBytes) -> None:
        storage = tensor.untyped_storage()
        self.tensor, self._owner = tensor, owner
        self._place = storage.data_ptr(), storage.nbytes()
        owner.hold(*self._place)

    def __del__(self) -> None:
        self._owner.release(*self._place)

    @staticmethod
    def pack(owner: SavedBytes) -> "Callable[[Tensor], _Held]":
        """The hook."""
        return lambda tensor: _Held(tensor, owner)
