"""Reading of a file of weights; nothing in it is ever executed."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from search.errors import UsageError
from search.training.weights.archive import load_tensors

# Where training programs put the weights in their checkpoints. Averaged weights go first:
# they are the ones that were judged.
CHECKPOINT_KEYS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "state_dict",
    "model",
    "model_state_dict",
    "weights",
    "net",
    "module",
    "state",
)
# What wrappers of training put before every name.
WRAPPERS = ("module.", "_orig_mod.", "model.", "network.")
_LONGEST = 120


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name, out of a checkpoint where the file is one, without wrappers' prefixes.

    Raises:
        UsageError: The file cannot be read, or holds no tensors by name.
    """
    return _without_wrappers(_tensors(_load(path), path))


def _load(path: Path) -> object:
    try:
        return load_tensors(path)
    except Exception as error:  # whatever torch raises on files that are none
        if type(error).__name__ == "UnpicklingError":
            raise UsageError(
                f"{path} does not hold weights of this network: it holds more than tensors, or is "
                "damaged, and is not loaded, since that could run a program.",
                "Save the weights alone where you trust it: torch.save(model.state_dict(), FILE).",
            ) from error
        why = str(error).strip().partition("\n")[0][:_LONGEST] or type(error).__name__
        raise UsageError(
            f"{path} does not hold weights of this network: it cannot be read ({why}).",
            "Give a file that torch.save wrote.",
        ) from error


def _tensors(content: object, path: Path) -> Mapping[str, Tensor]:
    """The content, or the part of a checkpoint, that is tensors by name."""
    for candidate in (content, *(_part(content, key) for key in CHECKPOINT_KEYS)):
        if isinstance(candidate, Mapping) and candidate and _all_tensors(candidate):
            return candidate
    raise UsageError(
        f"{path} does not hold weights of this network: it holds no tensors by name.",
        "Save them so: torch.save(model.state_dict(), FILE).",
    )


def _part(content: object, key: str) -> object:
    return content.get(key) if isinstance(content, Mapping) else None


def _all_tensors(candidate: Mapping[object, object]) -> bool:
    return all(isinstance(n, str) and isinstance(t, Tensor) for n, t in candidate.items())


def _without_wrappers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = list(state)
    while prefix := next((p for p in WRAPPERS if all(n.startswith(p) for n in names)), None):
        names = [name.removeprefix(prefix) for name in names]
    return dict(zip(names, state.values(), strict=True))
