"""The scale of the loss in float16, whose smallest gradients would vanish.

As torch.amp.GradScaler does it, in a form that lets the gradients be averaged over
processes first and that a checkpoint can hold (arXiv 1710.03740, section 3.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

FIRST, LEAST, MOST = 2.0**16, 1.0, 2.0**24
GOOD_STEPS = 2000


@dataclass(slots=True, kw_only=True)
class LossScale:
    """Doubles after many good steps, halves after one whose gradients overflowed.

    Attributes:
        value: What the loss is multiplied by; 1 for ever unless `dynamic`.
        good: Steps since it last changed.
        dynamic: Whether it changes: in float16.
    """

    value: float = 1.0
    good: int = 0
    dynamic: bool = False

    @classmethod
    def of(cls, dtype: str) -> "LossScale":
        """That of a precision, as a run begins."""
        half = dtype == "float16"
        return cls(value=FIRST if half else 1.0, dynamic=half)

    def take_out(self, parameters: Sequence[nn.Parameter]) -> None:
        """Gradients as those of the loss itself, in place."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.value != 1.0 and gradients:
            torch._foreach_mul_(gradients, 1 / self.value)

    def survives(self, finite: bool) -> bool:
        """Note a step; whether a step that is not finite may just be left out."""
        if not self.dynamic:
            return False
        if finite:
            self.good += 1
            if self.good >= GOOD_STEPS:
                self.value, self.good = min(self.value * 2, MOST), 0
            return True
        able = self.value > LEAST
        self.value, self.good = max(self.value / 2, LEAST), 0
        return able
