"""Random networks of calibration and exam, and operators of published networks."""

import random

from deploy.artefact import ExportSpec
from search.operators.spec import OperatorSpec
from search.spaces.base import LayeredSpace
from search.zoo import network_names, zoo_architecture


def published_operators(space: LayeredSpace) -> tuple[OperatorSpec, ...]:
    """Operators that published networks of this frame need and the space does not hold.

    Their heads are narrower, and some keep the first 1x1 at expansion 1: a
    handful of operators, for which one table can compare all of them. A network
    of which the space holds no block has nothing to do with it.
    """
    own, stem, classifier = set(space.operators), space.before[0], space.after[-1]
    operators: dict[OperatorSpec, None] = {}
    for name in network_names():
        network = zoo_architecture(name, dtype=stem.dtype).with_batch(stem.batch)
        fits = network.operators[0] == stem and network.classes == classifier.out_channels
        if fits and any(o.kind == "ir" and o in own for o in network.operators):
            operators.update(dict.fromkeys(network.operators))
    return tuple(o for o in operators if o not in own and o.kind != "skip")


def draw_networks(space: LayeredSpace, number: int, seed: int) -> tuple[ExportSpec, ...]:
    """Distinct random networks of the space (fewer if the space is that small)."""
    generator = random.Random(seed)  # noqa: S311
    networks: dict[tuple[OperatorSpec, ...], ExportSpec] = {}
    for _ in range(100 * number):
        if len(networks) == number:
            break
        architecture = space.random_architecture(generator, f"random-{seed}-{len(networks):03d}")
        export = ExportSpec(name=architecture.name, operators=architecture.operators)
        networks.setdefault(export.operators, export)
    return tuple(networks.values())
