"""Settings of the engine, and the identity of a run as its checkpoints record it."""

import dataclasses
import json
from dataclasses import dataclass, field

from search.console.version import kit_version
from search.errors import UsageError
from search.training.compute.precision import Compute


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Settings of a training run, apart from the method and the images.

    Attributes:
        batch: Images a step, over all processes together.
        seed: Fixes splits, order, augmentation and noise.
        clip_norm: Scale the gradient of a step down to this norm; None does not.
        synchronous: N processes compute what one would: batch norm spans all
            of them and they share their noise. Otherwise each draws its own.
        checkpoint_minutes: Longest time between two checkpoints.
        checkpoint_steps: Most steps between two checkpoints; None sets no bound.
        loaders: Batches made ahead, each in a thread of its own.
        compute: Device, precision, threads.

    Raises:
        UsageError: A value is out of range.
    """

    batch: int
    seed: int = 0
    clip_norm: float | None = None
    synchronous: bool = False
    checkpoint_minutes: float = 10.0
    checkpoint_steps: int | None = None
    loaders: int = 1
    compute: Compute = field(default_factory=Compute)

    def __post_init__(self) -> None:
        for name, value, least in (
            ("batch", self.batch, 2),
            ("loaders", self.loaders, 1),
            ("checkpoint_steps", self.checkpoint_steps, 1),
        ):
            if value is not None and value < least:
                raise UsageError(f"{name} is {value}; it must be at least {least}.")
        for name, number in (
            ("clip_norm", self.clip_norm),
            ("checkpoint_minutes", self.checkpoint_minutes),
        ):
            if number is not None and not number > 0:
                raise UsageError(f"{name} is {number}; it must be positive.")

    @property
    def fixed(self) -> str:
        """The settings that must not change when a run is resumed, as JSON."""
        values = {
            "batch": self.batch,
            "seed": self.seed,
            "clip_norm": self.clip_norm,
            "synchronous": self.synchronous,
            "dtype": self.compute.dtype,
        }
        return json.dumps(values, sort_keys=True)


def recipe_text(recipe: object) -> str:
    """A recipe dataclass as canonical JSON, to be compared and shown."""
    assert dataclasses.is_dataclass(recipe)
    assert not isinstance(recipe, type)
    return json.dumps(dataclasses.asdict(recipe), sort_keys=True, default=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Identity of a run; a checkpoint continues only a run of equal identity.

    Attributes:
        algorithm: Name of the method.
        space: Spec of the search space, or the operators of a fixed network.
        data: Identity of the training images.
        recipe: All hyperparameters, as `recipe_text` writes them.
        settings: The engine's settings that change the result, as JSON.
        table_id: The latency table, if the method reads one.
        kit_version: Version of the kit that runs it.
    """

    algorithm: str
    space: str
    data: str
    recipe: str
    settings: str
    table_id: str | None = None
    kit_version: str = field(default_factory=kit_version)
