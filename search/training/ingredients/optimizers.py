"""Optimisers of weights, and which parameters they decay."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Groups = list[dict[str, Any]]


class TensorFlowRMSprop(torch.optim.Optimizer):
    """RMSProp as TensorFlow has it, which MnasNet, EfficientNet and Single-Path NAS use.

    With gradient g:  s = rho s + (1 - rho) g^2,  m = momentum m + rate g / sqrt(s + epsilon),
    w = w - m. s begins at 1, epsilon stands inside the root, and the rate of a step
    stays in the momentum. torch's own begins at 0 with epsilon outside: its first steps
    are sqrt(1 / (1 - rho)) rates long whatever the gradient.

    Args:
        params: Parameters, or groups of them.
        lr: The rate.
        rho: How slowly the mean square moves.
        momentum: 0 keeps none.
        epsilon: Added to the mean square.
        weight_decay: L2, added to the gradient.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        *,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "momentum": momentum,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; parameters without a gradient are left as they are."""
        assert closure is None, "the engine has computed the gradients"
        for group in self.param_groups:
            parameters: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._step(parameters, group)

    def _step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """A group at once: on a GPU one kernel serves many tensors."""
        gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
        if group["weight_decay"]:
            added = torch._foreach_add(gradients, parameters, alpha=group["weight_decay"])
            gradients = list(added)
        squares = [self._kept(p, "square", 1.0) for p in parameters]
        torch._foreach_mul_(squares, group["rho"])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["rho"])
        roots = torch._foreach_add(squares, group["epsilon"])
        torch._foreach_sqrt_(roots)
        steps = list(torch._foreach_div(gradients, roots))
        torch._foreach_mul_(steps, group["lr"])
        if group["momentum"]:
            moments = [self._kept(p, "moment", 0.0) for p in parameters]
            torch._foreach_mul_(moments, group["momentum"])
            torch._foreach_add_(moments, steps)
            steps = moments
        torch._foreach_add_(parameters, steps, alpha=-1)

    def _kept(self, parameter: Tensor, name: str, first: float) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.full_like(parameter, first, memory_format=torch.preserve_format)
        kept: Tensor = state[name]
        return kept


def make_optimizer(
    name: str,
    groups: Groups,
    *,
    rate: float,
    momentum: float,
    nesterov: bool,
    rho: float,
    epsilon: float,
) -> torch.optim.Optimizer:
    """The optimiser of a recipe: `sgd`, `adamw`, or `rmsprop` in TensorFlow's form.

    Args:
        name: Which.
        groups: Of parameters, each with its weight decay.
        rate: The highest rate.
        momentum: Of any; beta1 of `adamw` (arXiv 1711.05101), whose decay is decoupled.
        nesterov: Of `sgd`.
        rho, epsilon: Of `rmsprop`; of `adamw` beta2, and what is added outside the root.
    """
    if name == "rmsprop":
        return TensorFlowRMSprop(groups, rate, rho=rho, momentum=momentum, epsilon=epsilon)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=(momentum, rho), eps=epsilon)
    return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov)


def decay_groups(
    module: nn.Module, weight_decay: float, *, decay_all: bool, without: Iterable[Tensor] = ()
) -> Groups:
    """The parameters that are decayed, and those that are not.

    Args:
        module: Whose parameters.
        weight_decay: Of the first group.
        decay_all: Batch norm's scales and all biases are decayed too.
        without: Parameters that are in neither group.
    """
    out = {id(parameter) for parameter in without}
    spared: set[int] = set()
    if not decay_all:
        for child in module.modules():
            for name, parameter in child.named_parameters(recurse=False):
                if isinstance(child, _BatchNorm) or name == "bias":
                    spared.add(id(parameter))
    kept = [parameter for parameter in module.parameters() if id(parameter) not in out]
    decayed = [parameter for parameter in kept if id(parameter) not in spared]
    rest = [parameter for parameter in kept if id(parameter) in spared]
    groups = [(decayed, weight_decay), (rest, 0.0)]
    return [{"params": group, "weight_decay": decay} for group, decay in groups if group]
