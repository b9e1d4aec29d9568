"""Published networks as strings, with the figures their authors printed.

FBNet-A, -B, -C and FBNet-96-0.35-1 follow the authors' release (facts
restated from facebookresearch/mobile-vision), which drops the first 1x1 of a
block whose expansion is 1. FBNet-S8 and FBNet-iPhoneX exist only as a drawing
(FBNet, arXiv 1812.03443, Figure 4); they are a reading of it, with the head of
1504 channels and every first 1x1 kept, which is what fits the printed FLOPs.

A stage is written `channels stride: block block ...`; blocks are the names of
the FBNet space (Table 2 of the paper), `-` is a skip.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from search.architecture import Architecture
from search.errors import UsageError
from search.operators import OperatorSpec
from search.spaces.fbnet import SKIP, Frame


class Published(NamedTuple):
    """What a paper prints of a network; latency in ms, None where not printed."""

    flops_m: float
    params_m: float
    top1: float
    latency_ms: tuple[tuple[str, float], ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A published network and its figures.

    `always_pointwise` is the convention that the published definition
    follows for the first 1x1 at expansion 1.
    """

    name: str
    resolution: int
    stem_channels: int
    stages: tuple[str, ...]
    head_channels: int
    always_pointwise: bool
    published: Published
    remark: str = ""
    classes: int = 1000


_S8 = "Samsung Galaxy S8, Caffe2 int8"
_IPHONE = "iPhone X, Caffe2 int8"
_TABLE3 = "FBNet (arXiv 1812.03443), Table 3"
_TABLE4 = "FBNet (arXiv 1812.03443), Table 4"
_TABLE5 = "FBNet (arXiv 1812.03443), Table 5"

_NETWORKS = (
    Network(
        name="FBNet-A",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 1: -",
            "24 2: k3_e3 k3_e1 - -",
            "32 2: k5_e6 k3_e3 k5_e1 k3_e3",
            "64 2: k5_e6 k5_e3 k5_e1_g2 k5_e6",
            "112 1: k3_e6 k5_e1_g2 k5_e3 k3_e1_g2",
            "184 2: k5_e6 k5_e6 k5_e3 k5_e6",
            "352 1: k5_e6",
        ),
        head_channels=1504,
        always_pointwise=False,
        published=Published(249, 4.3, 73.0, ((_S8, 19.8),), _TABLE3),
    ),
    Network(
        name="FBNet-B",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 1: k3_e1",
            "24 2: k3_e6 k5_e1 k3_e1 k3_e1",
            "32 2: k5_e6 k5_e3 k3_e6 k5_e6",
            "64 2: k5_e6 k5_e6 - k5_e3",
            "112 1: k5_e6 k3_e1 k5_e1 k5_e3",
            "184 2: k5_e6 k5_e1 k5_e6 k5_e6",
            "352 1: k3_e6",
        ),
        head_channels=1984,
        always_pointwise=False,
        published=Published(295, 4.5, 74.1, ((_S8, 23.1),), _TABLE3),
        remark="the paper prints 4.5M parameters, its authors' release 4.77M",
    ),
    Network(
        name="FBNet-C",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 1: k3_e1",
            "24 2: k3_e6 - k3_e1 k3_e1",
            "32 2: k5_e6 k5_e3 k5_e6 k3_e6",
            "64 2: k5_e6 k5_e3 k5_e6 k5_e6",
            "112 1: k5_e6 k5_e6 k5_e6 k5_e3",
            "184 2: k5_e6 k5_e6 k5_e6 k5_e6",
            "352 1: k3_e6",
        ),
        head_channels=1984,
        always_pointwise=False,
        published=Published(375, 5.5, 74.9, ((_S8, 28.1),), _TABLE3),
    ),
    Network(
        name="FBNet-96-0.35-1",
        resolution=96,
        stem_channels=8,
        stages=(
            "8 1: k3_e1",
            "16 2: k3_e6 k3_e6",
            "16 2: k5_e6 k5_e6",
            "24 2: k5_e6",
            "40 1: k3_e6",
            "72 2: k5_e6 k5_e6",
            "128 1: k5_e6",
        ),
        head_channels=1416,
        always_pointwise=False,
        published=Published(12.9, 1.8, 50.2, ((_S8, 2.9),), _TABLE4),
    ),
    Network(
        name="FBNet-S8",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 1: k3_e1",
            "24 2: k3_e3 k3_e1 - -",
            "32 2: k5_e6 k3_e3 k3_e3 k3_e6",
            "64 2: k5_e6 k5_e3 k5_e3 k5_e3",
            "112 1: k3_e6 k5_e3 k5_e3 k5_e3",
            "184 2: k5_e6 k5_e6 k5_e3 k5_e6",
            "352 1: k5_e6",
        ),
        head_channels=1504,
        always_pointwise=True,
        published=Published(293, 4.43, 73.27, ((_S8, 22.12), (_IPHONE, 27.53)), _TABLE5),
        remark="read from Figure 4; not released",
    ),
    Network(
        name="FBNet-iPhoneX",
        resolution=224,
        stem_channels=16,
        stages=(
            "16 1: -",
            "24 2: k3_e6 k3_e1 k3_e1 k3_e1",
            "32 2: k3_e6 k3_e6 k3_e6 k3_e6",
            "64 2: k3_e6 k3_e6 k3_e3 k3_e6",
            "112 1: k3_e6 k3_e3 k3_e3 k3_e3",
            "184 2: k5_e6 k5_e6 k5_e6 k5_e3",
            "352 1: k5_e6",
        ),
        head_channels=1504,
        always_pointwise=True,
        published=Published(322, 4.47, 73.2, ((_S8, 23.33), (_IPHONE, 19.84)), _TABLE5),
        remark="read from Figure 4; not released",
    ),
)


def network_names() -> tuple[str, ...]:
    """Published networks that the zoo holds."""
    return tuple(network.name for network in _NETWORKS)


def published_network(name: str) -> Network:
    """A published network by name, in any case.

    Raises:
        UsageError: Unknown; names the known ones.
    """
    for network in _NETWORKS:
        if network.name.lower() == name.lower():
            return network
    raise UsageError(f"Unknown network {name!r}.", f"Known: {', '.join(network_names())}.")


def zoo_architecture(
    name: str, *, always_pointwise: bool | None = None, dtype: str = "fp32"
) -> Architecture:
    """Build a published network; None keeps its own convention for the first 1x1.

    Raises:
        UsageError: Unknown name.
    """
    network = published_network(name)
    keep = network.always_pointwise if always_pointwise is None else always_pointwise
    return Architecture(name=network.name, operators=tuple(_operators(network, keep, dtype)))


def _operators(network: Network, keep: bool, dtype: str) -> Iterator[OperatorSpec]:
    frame = Frame(keep, 1, dtype)
    channels, size = network.stem_channels, network.resolution
    yield frame.conv(3, 3, channels, size, 2)
    size //= 2
    for stage in network.stages:
        numbers, _, blocks = stage.partition(":")
        out_channels, stride = (int(word) for word in numbers.split())
        for word in blocks.split():
            name = SKIP if word == "-" else word
            operator = frame.block(name, channels, out_channels, size, stride)
            if operator is None:
                raise UsageError(f"{network.name} skips where it cannot.")
            yield operator
            channels, size, stride = out_channels, size // stride, 1
    yield frame.conv(1, channels, network.head_channels, size, 1)
    yield frame.classifier(network.head_channels, network.classes, size)
