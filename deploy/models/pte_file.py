"""ExecuTorch programs read as data: inputs, outputs, delegates, and what is not delegated."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.models.tensors import TensorSpec
from deploy.xnnpack.flatbuffer import PROGRAM_SCHEMA, read_flatbuffer
from search.errors import UsageError

_IDENTIFIER = b"ET12"
_LONGEST = 100
_RUNNABLE = "XnnpackBackend"
_DTYPES = {
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "HALF": "float16",
    "BOOL": "bool",
    "BYTE": "uint8",
    "CHAR": "int8",
    "SHORT": "int16",
    "INT": "int32",
    "LONG": "int64",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFacts:
    """One method of a program.

    `outside` counts the kernels called outside a delegate, by operator; `delegates` the
    calls of delegates, by backend; `planned_bytes` is the memory it computes in.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    delegates: Mapping[str, int]
    outside: Mapping[str, int]
    planned_bytes: int


def read_program_facts(content: bytes, origin: str, method: str = "forward") -> ProgramFacts:
    """The facts of a program.

    Raises:
        UsageError: Not a program, of a newer schema, without this method, or for another
            backend than those that runners here have.
    """
    program = _parsed(content, origin)
    plans = {plan["name"]: plan for plan in program["execution_plan"]}
    if method not in plans:
        raise UsageError(
            f"{origin} has no method {method!r}, but {', '.join(map(_plain, plans)) or 'none'}.",
            "Export the model with a forward method.",
        )
    plan = plans[method]
    foreign = sorted({_plain(delegate["id"]) for delegate in plan["delegates"]} - {_RUNNABLE})
    if foreign:
        raise UsageError(
            f"{origin} is made for the backend {', '.join(foreign)}.",
            "The runners of this kit have XNNPACK: lower the model with XnnpackPartitioner, or "
            "give the torch model (.pt2).",
        )
    return _facts(plan, origin)


def _parsed(content: bytes, origin: str) -> Any:
    identifier = content[4:8]
    if identifier[:2] == b"ET" and identifier != _IDENTIFIER:
        raise UsageError(
            f"{origin} is a program of the schema {identifier.decode('ascii', 'replace')!r}; this "
            f"kit's runtime reads {_IDENTIFIER.decode()!r}.",
            "Lower the model with the ExecuTorch that is installed here.",
        )
    if identifier != _IDENTIFIER:
        raise UsageError(
            f"{origin} is not an ExecuTorch program.", "Write it with to_executorch()."
        )
    size = len(content)
    if content[8:12] == b"eh00" and len(content) >= 24:
        size = int.from_bytes(content[16:24], "little")
    if not 0 < size <= len(content):
        raise UsageError(f"{origin} is cut off.", "Copy it again, or lower the model again.")
    try:
        program = read_flatbuffer(PROGRAM_SCHEMA, content[:size])
    except ValueError as error:
        raise UsageError(f"{origin} is damaged: {error}.", "Lower the model again.") from error
    if program["version"] != 0:
        raise UsageError(
            f"{origin} is a program of version {program['version']}; this kit's runtime reads 0.",
            "Lower the model with the ExecuTorch that is installed here.",
        )
    return program


def _facts(plan: Any, origin: str) -> ProgramFacts:
    names = [_plain(f"{one['name']}.{one['overload']}".rstrip(".")) for one in plan["operators"]]
    outside: Counter[str] = Counter()
    delegates: Counter[str] = Counter()
    for chain in plan["chains"]:
        for step in chain["instructions"]:
            call = step["instr_args"]
            if step["instr_args_type"] == "KernelCall":
                outside[names[call["op_index"]]] += 1
            elif step["instr_args_type"] == "DelegateCall":
                delegates[plan["delegates"][call["delegate_index"]]["id"]] += 1
    return ProgramFacts(
        inputs=_specs(plan, "inputs", origin),
        outputs=_specs(plan, "outputs", origin),
        delegates=dict(delegates),
        outside=dict(outside),
        planned_bytes=sum(plan["non_const_buffer_sizes"]),
    )


def _plain(text: str) -> str:
    """A name from the file without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST])


def _specs(plan: Any, which: str, origin: str) -> tuple[TensorSpec, ...]:
    """The tensors among the inputs or outputs; numbers were fixed when it was exported."""
    specs = []
    for number, index in enumerate(plan[which]):
        value = plan["values"][index]
        if value["val_type"] != "Tensor":
            continue
        tensor, name = value["val"], f"{which[:-1]}{number}"
        if tensor["scalar_type"] not in _DTYPES:
            raise UsageError(f"{origin} has the {name} of the kind {tensor['scalar_type']}.")
        order = tuple(tensor["dim_order"])
        plain = order == tuple(range(len(order)))
        # A bound is the largest size: a program runs at it, and its memory is planned for it.
        specs.append(
            TensorSpec(
                name=name,
                shape=tuple(tensor["sizes"]),
                dtype=_DTYPES[tensor["scalar_type"]],
                order=None if plain else order,
            )
        )
    return tuple(specs)
