"""How often a program must compute what: the operations of each operator, by kind.

Numbers do not show everything: a ReLU after a ReLU changes none and takes
time, and a ReLU6 is a ReLU wherever the check's values stay below 6.
"""

from collections import Counter
from collections.abc import Callable

from deploy.artefact import ExportSpec
from deploy.chains.programs import shape_adapter
from search.operators.spec import OperatorSpec

_ACTIVATIONS: dict[str, dict[str, int]] = {
    "none": {},
    "relu": {"relu": 1},
    "relu6": {"relu6": 1},
    "hswish": {"thresholded_relu": 1, "sigmoid_hard": 1, "mul": 1},
    "hswish6": {"add": 1, "relu6": 1, "mul": 2},
    "swish": {"silu": 1},
}
_GATES = {"hsigmoid": "sigmoid_hard", "sigmoid": "sigmoid"}


def computing_operations(spec: ExportSpec) -> Counter[str]:
    """The operations of a whole program, by kind; only those that compute."""
    total: Counter[str] = Counter()
    for operator in spec.operators:
        part = Counter(_OPERATIONS[operator.kind](operator)) if spec.part != "restoring" else {}
        total.update(part)
        if spec.copies is not None and spec.part != "operator":
            total.update(_adapter(operator))
    if spec.copies is not None:
        total = Counter({kind: number * spec.copies for kind, number in total.items()})
    # A program must do something: that of nothing copies its input.
    return total or Counter({"identity": 1})


def _adapter(operator: OperatorSpec) -> dict[str, int]:
    adapter = shape_adapter(operator)
    if adapter is None:
        return {}
    return {"conv": 1, "upsample_nearest_neighbor": int(adapter[1] > 1)}


def _conv(operator: OperatorSpec) -> Counter[str]:
    return Counter({"conv": 1}) + Counter(_ACTIVATIONS[operator.activation])


def _inverted_residual(operator: OperatorSpec) -> Counter[str]:
    total = Counter({"conv": 1, "add": int(operator.residual)})
    if operator.first_pointwise:
        total += _conv(operator)
    if operator.splits > 1:
        return total + _split_attention(operator)
    for _ in range(operator.depthwise):
        total += _conv(operator)
    if operator.squeeze_channels:
        gate = _GATES[operator.gate]
        total += Counter({"reduce_mean": 1, "conv": 2, "relu": 1, "mul": 1}) + Counter({gate: 1})
    return total


def _universal(operator: OperatorSpec) -> Counter[str]:
    plain = Counter({"conv": 1 + bool(operator.start_kernel), "add": int(operator.residual)})
    total = plain + _conv(operator)
    return total + _conv(operator) if operator.kernel else total


def _split_attention(operator: OperatorSpec) -> Counter[str]:
    splits = operator.splits
    total = Counter(
        {
            "conv": 2 * splits + 1,
            "add": 2 * (splits - 1),
            "reduce_mean": 1,
            "relu": 1,
            "concat": 1,
            "softmax": 1,
            "slice_by_index": splits,
            "mul": splits,
        }
    )
    for kind, number in _ACTIVATIONS[operator.activation].items():
        total[kind] += splits * number
    return total


def _classifier(operator: OperatorSpec) -> Counter[str]:
    total = Counter({"reduce_mean": 1, "linear": 1})
    if operator.mid_channels:
        total += Counter({"linear": 1}) + Counter(_ACTIVATIONS[operator.activation])
    return total


def _nothing(_: OperatorSpec) -> Counter[str]:
    return Counter()


_OPERATIONS: dict[str, Callable[[OperatorSpec], Counter[str]]] = {
    "ir": _inverted_residual,
    "uib": _universal,
    "conv": _conv,
    "classifier": _classifier,
    "skip": _nothing,
    "empty": _nothing,
}
