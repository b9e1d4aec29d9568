"""Torch modules of operators, with weights, ready for an exporter."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from search.errors import UsageError
from search.operators.modules import ConvNorm, build_network
from search.operators.spec import OperatorSpec
from search.training.weights.load import read_weights


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


def load_weights(network: nn.Module, path: Path, operators: Sequence[OperatorSpec]) -> None:
    """Load weights in the kit's layout or that of a released FBNet; executes nothing.

    Raises:
        UsageError: The file is unreadable, of another network, or holds NaN; or the
            release computes what the kit's operators do not.
    """
    weights = read_weights(path, operators)
    if weights.squeezes_activated:
        raise UsageError(
            f"The network of {path} activates inside squeeze-excite as its block does; the "
            "kit's operators take ReLU there.",
            "python -m search evaluate judges it; to deploy it, train the network here.",
        )
    network.load_state_dict(dict(weights.state))


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
