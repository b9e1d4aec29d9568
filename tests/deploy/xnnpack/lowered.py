"""Written programs beside those that ExecuTorch lowers."""

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from deploy.exporters import executorch
from deploy.exporters.quiet import quiet
from deploy.network import fold_batch_norm, seeded_network
from deploy.xnnpack import flatbuffer
from search.operators.modules import example_input
from search.operators.spec import OperatorSpec


def write(operators: Sequence[OperatorSpec]) -> bytes:
    """The file that this kit writes; never a lowered one."""
    refusal = AssertionError("this was lowered, not written")
    with mock.patch.object(executorch, "_lower", side_effect=refusal):
        return _export(operators, executorch._write, executorch._write_int8)


def lower(operators: Sequence[OperatorSpec]) -> bytes:
    """The file that ExecuTorch lowers."""
    return _export(operators, executorch._export, partial(executorch._export_int8, images=None))


def differences(written: bytes, lowered: bytes) -> list[str]:
    """What ExecuTorch's own reader finds to differ, down to the delegate's bytes; [] if nothing.

    Where input and output are of one size ExecuTorch places them by chance.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary

    with quiet():
        ours, theirs = (deserialize_pte_binary(file) for file in (written, lowered))
    payloads = [_payload(file.program) for file in (ours, theirs)]
    plans = [_without_ties(file.program.execution_plan) for file in (ours, theirs)]
    found = []
    if plans[0] != plans[1]:
        found.append(f"plans: {plans[0]} instead of {plans[1]}")
    if ours.program.constant_buffer != theirs.program.constant_buffer:
        found.append("the program's own constants")
    if ours.named_data != theirs.named_data:
        found.append("the delegate's constants")
    if payloads[0] != payloads[1]:
        found += _graph_differences(*map(_graph, payloads)) or ["the delegate's bytes"]
    return found


def _export(operators: Sequence[OperatorSpec], fp32: Any, int8: Any) -> bytes:
    export = int8 if operators[0].dtype == "int8" else fp32
    example = example_input(operators)
    threads = torch.get_num_threads()
    # How work is split over threads moves an int8 scale by its last digit.
    torch.set_num_threads(1)
    try:
        with quiet(), torch.no_grad():
            content: bytes = export(fold_batch_norm(seeded_network(operators)), example)
    finally:
        torch.set_num_threads(threads)
    return content


def _payload(program: Any) -> bytes:
    return b"".join(each.data for each in program.backend_delegate_data)


def _without_ties(plans: Sequence[Any]) -> Any:
    (plan,) = plans
    planned = [v.val for v in plan.values if getattr(v.val, "allocation_info", None)]
    sizes = {tuple(sorted(value.sizes)) for value in planned}
    if len(sizes) == len(planned):
        return plan
    values = [
        replace(v, val=replace(v.val, allocation_info=None)) if v.val in planned else v
        for v in plan.values
    ]
    return replace(plan, values=values)


def _graph(payload: bytes) -> dict[str, list[Any]]:
    """XNNPACK's graph as the schema's JSON."""
    start, size = (int.from_bytes(payload[i : i + 4], "little") for i in (10, 14))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.bin"
        path.write_bytes(payload[start : start + size])
        compiler = str(flatbuffer._root() / "data/bin/flatc")
        schema = str(flatbuffer._root() / flatbuffer.DELEGATE_SCHEMA)
        options = ["--json", "--defaults-json", "--strict-json", "--raw-binary", "-o", folder]
        command = [compiler, *options, schema, "--", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        text = (Path(folder) / "graph.json").read_text()
    graph: dict[str, list[Any]] = json.loads(re.sub(r": (-?inf)\b", r': "\1"', text))
    return graph


def _graph_differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    found = []
    for part in ("xnodes", "xvalues", "constant_data"):
        pairs = zip(ours[part], theirs[part], strict=False)
        found += [f"{part}: {a} instead of {b}" for a, b in pairs if a != b][:3]
        if len(ours[part]) != len(theirs[part]):
            found.append(f"{len(ours[part])} instead of {len(theirs[part])} {part}")
    return found
