"""Checkpoints: the whole state of a run in one file that executes nothing."""

import contextlib
import dataclasses
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from search.errors import GateFailed, StorageError, UsageError
from search.files import write_bytes
from search.training.settings import RunIdentity
from search.training.step import RunningSums
from search.training.weights.archive import load_tensors

# 2 adds `seconds`; older files are read as if they had taken none. 3 adds the scale of the loss.
CHECKPOINT_SCHEMA = 3
_MEANING = {
    "algorithm": "method",
    "space": "search space",
    "data": "images",
    "table_id": "latency table",
    "recipe": "recipe",
    "settings": "engine settings",
    "kit_version": "kit version",
}
_SHOWN = 60
_MAY_CHANGE = ("recipe", "settings", "kit_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The step to do next: epoch, number of the phase in it, step of the phase."""

    epoch: int = 0
    phase: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A run between two steps.

    `statistics` holds the batch norm statistics of every process, which differ
    inside an epoch; None for a run of one process. `seconds` is the duration
    of the run until here, over all its parts. `loss_scale` and `good_steps` are
    those of float16.
    """

    identity: RunIdentity
    position: Position
    sums: RunningSums
    trace_bytes: int
    module: Mapping[str, Tensor]
    optimizers: Mapping[str, Mapping[str, Any]]
    statistics: Tensor | None = None
    seconds: float = 0.0
    loss_scale: float = 1.0
    good_steps: int = 0


class _File(BaseModel):
    """Content of the file; `origin` is its word for the identity of the run."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    kind: Literal["training-checkpoint"]
    schema_version: Literal[1, 2, 3]
    torch_version: str
    identity: Annotated[RunIdentity, Field(alias="origin")]
    position: Position
    sums: RunningSums
    trace_bytes: int
    module: dict[str, Any]
    optimizers: dict[str, dict[str, Any]]
    statistics: Tensor | None
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    loss_scale: Annotated[float, Field(ge=1, le=2**24)] = 1.0
    good_steps: Annotated[int, Field(ge=0)] = 0


class CheckpointFolder:
    """`last.pt`, the newest state, and `good.pt`, that of the last finished epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last = folder / "last.pt"
        self.good = folder / "good.pt"

    def exists(self) -> bool:
        """True when there is something to resume."""
        return self.last.exists()

    def write(self, checkpoint: Checkpoint, *, epoch_ended: bool) -> None:
        """Replace `last.pt`, and `good.pt` too at the end of an epoch.

        Raises:
            GateFailed: A weight is not a number; the files are left as they are.
            StorageError: The disk is full or cannot be written.
        """
        _check_numbers(checkpoint.module)
        try:
            content = dump_checkpoint(checkpoint)
            write_bytes(self.last, content)
            if epoch_ended:
                write_bytes(self.good, content)
        except OSError as error:
            raise StorageError(
                f"Cannot write the checkpoint {self.last}: {error}",
                "The one before is whole; make room and use --resume.",
            ) from error

    def read(self, expected: RunIdentity, *, accept_changes: bool = False) -> Checkpoint:
        """The newest state, if it is of the expected run.

        Args:
            expected: Identity of the run to be continued.
            accept_changes: Let another recipe, other engine settings and
                another kit version pass; the result is then no longer that of
                an unbroken run.

        Raises:
            UsageError: Unreadable, damaged, of a newer schema, or of another run.
        """
        try:
            content = self.last.read_bytes()
        except OSError as error:
            raise UsageError(f"Cannot read the checkpoint {self.last}: {error}") from error
        remedy = f"If {self.good.name} beside it is whole, put that in its place."
        checkpoint = parse_checkpoint(content, str(self.last), remedy)
        _check_identity(checkpoint.identity, expected, str(self.last), accept_changes)
        return checkpoint


def dump_checkpoint(checkpoint: Checkpoint) -> bytes:
    """The bytes of a checkpoint file: tensors, numbers, strings and nothing else."""
    stream = io.BytesIO()
    content = {
        "kind": "training-checkpoint",
        "schema_version": CHECKPOINT_SCHEMA,
        "torch_version": str(torch.__version__),
        "origin": dataclasses.asdict(checkpoint.identity),
        "position": dataclasses.asdict(checkpoint.position),
        "sums": dataclasses.asdict(checkpoint.sums),
        "trace_bytes": checkpoint.trace_bytes,
        "module": checkpoint.module,
        "optimizers": checkpoint.optimizers,
        "statistics": checkpoint.statistics,
        "seconds": checkpoint.seconds,
        "loss_scale": checkpoint.loss_scale,
        "good_steps": checkpoint.good_steps,
    }
    torch.save(content, stream)
    return stream.getvalue()


def parse_checkpoint(
    content: bytes, source: str = "the checkpoint", remedy: str = ""
) -> Checkpoint:
    """Read a checkpoint onto the CPU; never executes anything in it.

    Raises:
        UsageError: Not a checkpoint, damaged, or of a newer schema.
    """
    try:
        stored = load_tensors(content, own=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise UsageError(f"{source} is damaged or not a checkpoint: {reason}.", remedy) from error
    schema = stored.get("schema_version") if isinstance(stored, dict) else None
    if type(schema) is not int:  # true would pass for 1
        raise UsageError(f"{source} is not a checkpoint: it names no schema version.", remedy)
    if schema > CHECKPOINT_SCHEMA:
        raise UsageError(
            f"{source} has schema {schema}, newer than {CHECKPOINT_SCHEMA}.", "Update the kit."
        )
    try:
        file = _File.model_validate(stored)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{source} is not a checkpoint: {where}: {first['msg']}.") from error
    if min(*dataclasses.astuple(file.position), file.trace_bytes) < 0:
        raise UsageError(f"{source} is not a checkpoint: it counts below zero.", remedy)
    names = (field.name for field in dataclasses.fields(Checkpoint))
    return Checkpoint(**{name: getattr(file, name) for name in names})


def restore(
    checkpoint: Checkpoint, module: nn.Module, optimizers: Mapping[str, torch.optim.Optimizer]
) -> None:
    """Put back weights, buffers and the state of the optimisers.

    Raises:
        UsageError: They are of another module, or of other optimisers.
    """
    try:
        module.load_state_dict(checkpoint.module)
        for name, state in checkpoint.optimizers.items():
            optimizers[name].load_state_dict(dict(state))
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            "The checkpoint does not fit the method's modules: names or shapes of its weights "
            "differ from theirs.",
            "Resume with the options that the run was begun with.",
        ) from error


def _check_numbers(state: Mapping[str, Tensor]) -> None:
    for name, tensor in state.items():
        # An infinity may be meant (a candidate that is barred); a NaN never is.
        if tensor.is_floating_point() and bool(tensor.isnan().any()):
            raise GateFailed(
                f"{name} holds values that are not numbers; no checkpoint was written.",
                "Go on from the last checkpoint with a lower learning rate.",
            )


def _check_identity(
    stored: RunIdentity, expected: RunIdentity, where: str, accept_changes: bool
) -> None:
    passing = _MAY_CHANGE if accept_changes else ()
    lines = {
        name: changes
        for name in _MEANING
        if name not in passing and (changes := list(_differ(name, stored, expected)))
    }
    if lines:
        accept = ", or add --accept-changes" if set(lines) <= set(_MAY_CHANGE) else ""
        raise UsageError(
            f"{where} is of another run: {'; '.join(itertools.chain(*lines.values()))}.",
            f"Repeat the options it was made with, or choose another folder{accept}.",
        )


def _differ(name: str, stored: RunIdentity, expected: RunIdentity) -> Iterator[str]:
    """One phrase for each difference in a field of the identity."""
    old, new = getattr(stored, name), getattr(expected, name)
    if old == new:
        return
    with contextlib.suppress(ValueError, RecursionError, AttributeError, TypeError):
        parts_old, parts_new = json.loads(old), json.loads(new)
        for key in sorted({*parts_old, *parts_new}):
            if parts_old.get(key) != parts_new.get(key):
                yield f"{_MEANING[name]} {key} {parts_old.get(key)}, now {parts_new.get(key)}"
        return
    yield f"{_MEANING[name]} {_short(old)}, now {_short(new)}"


def _short(value: object) -> str:
    """Enough of a long value to know it by."""
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
