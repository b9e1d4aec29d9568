"""Torch modules of operators, with weights, ready for an exporter."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from search.errors import UsageError
from search.operators.modules import ConvNorm, build_network
from search.operators.spec import OperatorSpec

_CHECKPOINTS = ("state_dict", "model", "model_state_dict", "weights")
_PREFIXES = ("module.", "_orig_mod.")
_LONGEST = 120


def seeded_network(operators: Sequence[OperatorSpec], seed: int = 0) -> nn.Sequential:
    """A network in eval mode whose weights depend on the seed alone.

    Batch norm gets statistics away from 0 and 1, so that folding it wrongly
    would show in the check of the artefact.
    """
    torch.manual_seed(seed)
    network = build_network(operators)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.1, 0.1)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
    return network.eval()


def load_weights(network: nn.Module, path: Path) -> None:
    """Load a state dict; never executes what the file holds.

    A checkpoint that holds one is opened, and prefixes that wrappers of training
    add (`module.`, `_orig_mod.`) are taken off.

    Raises:
        UsageError: The file is unreadable, of another network, or holds NaN.
    """
    state = _plain_names(_state_dict(_read(path), path))
    _require_same(network.state_dict(), state, path)
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            what = "NaN" if bool(torch.isnan(tensor).any()) else "infinite"
            raise UsageError(
                f"The weights in {path} are {what} (the first in {name!r}).",
                "Their training diverged: train again with a lower learning rate.",
            )
    network.load_state_dict(state)


def _read(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
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


def _state_dict(content: object, path: Path) -> Mapping[str, Tensor]:
    """The state dict in what was loaded, or in the checkpoint that was."""
    for candidate in (content, *(_get(content, name) for name in _CHECKPOINTS)):
        values = candidate.values() if isinstance(candidate, Mapping) else ()
        if isinstance(candidate, Mapping) and values and all(isinstance(v, Tensor) for v in values):
            return candidate
    raise UsageError(
        f"{path} does not hold weights of this network: it holds no tensors by name.",
        "Save them so: torch.save(model.state_dict(), FILE).",
    )


def _get(content: object, name: str) -> object:
    return content.get(name) if isinstance(content, Mapping) else None


def _plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = list(state)
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in names)), None):
        names = [name.removeprefix(prefix) for name in names]
    return dict(zip(names, state.values(), strict=True))


def _require_same(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> None:
    lacking = [name for name in wanted if name not in state]
    strange = [name for name in state if name not in wanted]
    other = [n for n in wanted if n in state and state[n].shape != wanted[n].shape]
    found = [
        f"{len(names)} {what} (such as {names[0]!r})"
        for names, what in ((lacking, "missing"), (strange, "unknown"), (other, "of another shape"))
        if names
    ]
    if found:
        raise UsageError(
            f"{path} does not hold weights of this network: of {len(wanted)}, {', '.join(found)}.",
            "Give the weights that were trained for it.",
        )


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold each batch norm into its convolution, in place (eval mode only).

    Exporters do it as well; done first it makes lowering twice as fast.
    """
    for module in network.modules():
        if isinstance(module, ConvNorm) and isinstance(module[1], nn.BatchNorm2d):
            conv = module[0]
            assert isinstance(conv, nn.Conv2d)
            module[0] = fuse_conv_bn_eval(conv, module[1])
            module[1] = nn.Identity()
    return network
