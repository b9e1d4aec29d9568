"""Published networks as strings, with the figures their authors printed."""

from search.architecture import Architecture
from search.errors import UsageError
from search.zoo import baselines, fbnet, fbnet_mobile_cv, fbnetv2
from search.zoo.definition import Network as Network
from search.zoo.definition import Published as Published

_NETWORKS = (
    *fbnet.NETWORKS,
    *fbnet_mobile_cv.NETWORKS,
    *fbnetv2.NETWORKS,
    *baselines.NETWORKS,
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
    return Architecture(name=network.name, operators=tuple(network.operators(keep, dtype)))
