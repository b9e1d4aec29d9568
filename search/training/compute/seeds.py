"""Random numbers of a run, each a function of the place in the run where it is drawn.

Nothing is carried from one step to the next, so a resumed run draws what the
unbroken one would have drawn.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part and on their order."""
    text = "/".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator_for(*parts: int | str) -> torch.Generator:
    """A fresh CPU generator seeded with `derive_seed`.

    On the CPU whatever the device, so that the noise is the same on all.
    """
    return torch.Generator().manual_seed(derive_seed(*parts))


@contextmanager
def fresh_weights(seed: int) -> Iterator[None]:
    """Modules built inside get weights that depend on the seed alone; all else is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("weights", seed))
        yield
