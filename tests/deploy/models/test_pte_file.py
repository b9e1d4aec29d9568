"""ExecuTorch programs read as data, and those that are refused."""

import pytest

pytest.importorskip("torch", reason="programs are written from tensors")
pytest.importorskip("executorch", reason="its schemas are in ExecuTorch's wheel")

import torch

from deploy.models.pte_file import read_program_facts
from deploy.xnnpack.flatbuffer import PROGRAM_SCHEMA, compile_flatbuffer
from deploy.xnnpack.program import Interface, write_program
from search.errors import UsageError

TENSOR = {
    "scalar_type": 6,
    "storage_offset": 0,
    "sizes": [1, 2, 3, 4],
    "dim_order": [0, 2, 3, 1],
    "requires_grad": False,
    "layout": 0,
    "data_buffer_idx": 0,
    "shape_dynamism": 0,
}


def program(
    version: int = 0, backend: str = "XnnpackBackend", method: str = "forward", kernel: str = "add"
) -> bytes:
    """A program whose instructions call a kernel twice and a delegate once."""
    call = {"instr_args_type": "KernelCall", "instr_args": {"op_index": 0, "args": [0]}}
    delegate = {"instr_args_type": "DelegateCall", "instr_args": {"delegate_index": 0, "args": [0]}}
    plan = {
        "name": method,
        "container_meta_type": {"encoded_inp_str": "", "encoded_out_str": ""},
        "values": [
            {"val": TENSOR, "val_type": "Tensor"},
            {"val": {**TENSOR, "scalar_type": 4, "dim_order": [0, 1, 2, 3]}, "val_type": "Tensor"},
            {"val": {"double_val": float("-1e308")}, "val_type": "Double"},
        ],
        "inputs": [0, 1, 2],
        "outputs": [0],
        "chains": [{"inputs": [], "outputs": [], "instructions": [call, delegate, call]}],
        "operators": [{"name": f"aten::{kernel}", "overload": "out"}],
        "delegates": [
            {"id": backend, "processed": {"location": 0, "index": 0}, "compile_specs": []}
        ],
        "non_const_buffer_sizes": [0, 4096],
    }
    return compile_flatbuffer(
        PROGRAM_SCHEMA, {"version": version, "execution_plan": [plan], "segments": []}
    )


def test_inputs_outputs_and_what_is_outside_of_the_delegate_are_read() -> None:
    facts = read_program_facts(program(), "a.pte")
    first, second = facts.inputs  # the third is a number, fixed when it was exported
    assert (first.sizes, first.dtype, first.order) == ((1, 2, 3, 4), "float32", (0, 2, 3, 1))
    assert (second.dtype, second.order) == ("int64", None)
    assert [one.sizes for one in facts.outputs] == [(1, 2, 3, 4)]
    assert facts.outside == {"aten::add.out": 2}
    assert facts.delegates == {"XnnpackBackend": 1}
    assert facts.planned_bytes == 4096


def test_a_program_of_this_kit_with_segments_behind_it_is_read() -> None:
    x = torch.zeros(1, 3, 4, 4)
    facts = read_program_facts(write_program(Interface(x, x, [torch.ones(1)]), None), "a.pte")
    assert facts.inputs[0].sizes == (1, 3, 4, 4)
    assert facts.outside == {}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            program(backend="CoreMLBackend"),
            "made for the backend CoreMLBackend.*XnnpackPartitioner",
        ),
        (program(backend="Vulkan\x1b[2JBackend"), r"Vulkan\?\[2JBackend"),
        (program(version=1), "version 1; this kit's runtime reads 0"),
        (program(method="encode"), "no method 'forward', but encode"),
        (program().replace(b"ET12", b"ET13"), "of the schema 'ET13'.*reads 'ET12'.*installed here"),
        (b"\x00" * 64, "not an ExecuTorch program"),
        (b"", "not an ExecuTorch program"),
        (program()[:40], "damaged|cut off"),
        (b"\x20\x00\x00\x00ET12eh00\x20\x00\x00\x00" + b"\xff" * 40, "cut off"),
    ],
    ids=[
        "backend",
        "control characters",
        "version",
        "method",
        "schema",
        "zeros",
        "nothing",
        "cut",
        "header",
    ],
)
def test_programs_that_cannot_be_run_are_refused_with_a_remedy(content: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        read_program_facts(content, "a.pte")
    assert caught.value.remedy


def test_a_garbled_program_is_refused_not_believed() -> None:
    whole = program()
    for start in range(12, len(whole), 97):
        damaged = whole[:start] + b"\xff" * 8 + whole[start + 8 :]
        try:
            read_program_facts(damaged, "a.pte")
        except UsageError:
            continue
