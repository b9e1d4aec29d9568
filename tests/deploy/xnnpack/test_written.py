"""Programs written without lowering are those that ExecuTorch lowers."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="programs are written from torch modules")

import torch
from torch import nn

from deploy.artefact import ExportSpec
from deploy.exporters import executorch
from deploy.exporters.registry import exporter_entry, make_exporter
from deploy.xnnpack import flatbuffer
from deploy.xnnpack.nodes import NotCovered
from deploy.xnnpack.record import record
from deploy.xnnpack.write import write_fp32
from search.errors import ExportError
from search.operators.modules import example_input
from search.operators.spec import OperatorSpec, parse_key
from tests.deploy.xnnpack.lowered import differences, lower, write
from tests.product import ROOT

# Each kind of operator, activation, gate and order of memory once.
NETWORK = (
    "conv_k3_g1_hswish6_i3_o8_h16_w16_s2_b1",
    "ir_k3_e2_m16_g2_relu6_i8_o8_h8_w8_s1_r1_p1_b1",
    "skip_i8_h8_w8_b1",
    "ir_k3_e1_m8_g1_sa2-8_swish_i8_o8_h8_w8_s1_r1_p0_b1",
    "ir_k5_e2_m16_g1_se8-hsigmoid_hswish_i8_o12_h8_w8_s2_r0_p1_b1",
    "classifier_m16-hswish_i12_o10_h4_w4_b1",
)
GROUPED = ("ir_k3_e1_m16_g2_relu_i16_o24_h10_w10_s1_r0_p1_b1",)
SMALL = ("conv_k3_g1_relu_i3_o8_h8_w8_s2_b1",)


def operators(keys: tuple[str, ...], dtype: str = "fp32") -> tuple[OperatorSpec, ...]:
    return tuple(parse_key(f"{key}_{dtype}") for key in keys)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_a_network_of_every_operation_is_what_executorch_lowers(dtype: str) -> None:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    network = operators(NETWORK, dtype)
    assert differences(write(network), lower(network)) == []


def test_a_lone_operator_between_two_others_is_what_executorch_lowers() -> None:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    assert differences(write(operators(GROUPED)), lower(operators(GROUPED))) == []


def test_a_program_that_differs_in_a_weight_is_told() -> None:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    written = write(operators(SMALL))
    changed = bytearray(written)
    changed[-1] ^= 1
    assert differences(written, written) == []
    assert differences(bytes(changed), written) == ["the delegate's constants"]


def test_a_program_of_other_operations_is_told_node_by_node() -> None:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    other = ("conv_k3_g1_relu6_i3_o8_h8_w8_s2_b1",)
    found = differences(write(operators(SMALL)), write(operators(other)))
    assert any(each.startswith("xnodes: ") and "'output_max': 6.0" in each for each in found)


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_two_files_of_one_network_are_the_same_bytes(dtype: str) -> None:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    network = operators(NETWORK, dtype)
    assert write(network) == write(network)


class InPlace(nn.Module):
    def forward(self, x):
        return x.add_(1.0)


class WithAConstant(nn.Module):
    def forward(self, x):
        return x * torch.ones(3)[:, None, None]


class ByHeight(nn.Module):
    def forward(self, x):
        return x.mean((2,), keepdim=True)


class Stepping(nn.Module):
    def forward(self, x):
        return x[:, :, ::2]


class ByIndex(nn.Module):
    def forward(self, x):
        return x[0]


class Asking(nn.Module):
    def forward(self, x):
        return x if x.dtype == torch.float16 else x * 2.0


NOT_COVERED: dict[str, Callable[[], nn.Module]] = {
    "an activation without a counterpart": nn.ELU,
    "a relu in place": lambda: nn.ReLU(inplace=True),
    "a sum in place": InPlace,
    "batch norm that is not folded": lambda: nn.BatchNorm2d(3),
    "a padding in words": lambda: nn.Conv2d(3, 4, 3, padding="same"),
    "a constant tensor": WithAConstant,
    "a mean over the height": ByHeight,
    "a slice in steps": Stepping,
    "a single image": ByIndex,
    "a pool with pixels left": lambda: nn.AdaptiveAvgPool2d(2),
    "a look at the number format": Asking,
    "a result of one pixel": lambda: nn.Conv2d(3, 4, 8),
}


@pytest.mark.parametrize("make", NOT_COVERED.values(), ids=NOT_COVERED)
def test_what_is_not_covered_is_refused_and_never_written_wrong(
    make: Callable[[], nn.Module],
) -> None:
    with pytest.raises(NotCovered):
        write_fp32(make().eval(), torch.rand(1, 3, 8, 8))


def test_what_is_not_covered_is_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered: list[nn.Module] = []

    def lower_it(module: nn.Module, example: torch.Tensor, *_: object) -> bytes:
        lowered.append(module)
        return b"lowered"

    monkeypatch.setattr(executorch, "_export", lower_it)
    monkeypatch.setattr(executorch, "_export_int8", lower_it)
    module, example = nn.ELU(), torch.rand(1, 3, 8, 8)
    assert executorch._write(module, example) == b"lowered"
    assert executorch._write_int8(module, example) == b"lowered"
    assert lowered == [module, module]


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
@pytest.mark.parametrize("own", ["weights", "calibration", "neither"])
def test_a_network_with_someones_own_data_is_lowered(
    own: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []
    monkeypatch.setattr(executorch, "load_images", lambda spec: None)
    monkeypatch.setattr(
        executorch, "export_and_verify", lambda spec, export, *_: taken.append(export)
    )
    data: dict[str, Any] = {} if own == "neither" else {own: Path("given")}
    spec = ExportSpec(name="net", operators=operators(SMALL, dtype), **data)
    make_exporter(exporter_entry("xnnpack", dtype)).build(spec)
    written = (executorch._write, executorch._write_int8)
    assert (taken[0] in written) == (own == "neither")


def test_the_recorded_module_computes_what_it_did() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).eval()
    example = example_input(operators(SMALL))
    graph = record(network, example)
    assert [node.kind for node in graph] == ["input", "conv", "relu", "output"]
    with torch.no_grad():
        assert torch.equal(list(graph)[2].seen[0], network(example))


IMPORTS = """
import sys
from deploy.artefact import ExportSpec
from deploy.exporters.registry import exporter_entry, make_exporter
from search.operators.spec import parse_key

spec = ExportSpec.of(parse_key("conv_k3_g1_relu_i3_o8_h8_w8_s2_b1_fp32"))
make_exporter(exporter_entry("xnnpack", "fp32")).build(spec)
print([name for name in ("executorch.exir", "torchao", "torch._dynamo") if name in sys.modules])
"""


@pytest.mark.thorough
def test_writing_and_checking_a_program_loads_no_compiler() -> None:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_content_that_the_schema_does_not_know_is_refused() -> None:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    with pytest.raises(ExportError, match="flatc refuses what was written"):
        flatbuffer.compile_flatbuffer(flatbuffer.DELEGATE_SCHEMA, {"no_such_field": 1})


def test_without_executorch_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    flatbuffer._root.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExportError, match="ExecuTorch is not installed") as raised:
        flatbuffer.compile_flatbuffer(flatbuffer.DELEGATE_SCHEMA, {})
    assert "profile" in raised.value.remedy
    flatbuffer._root.cache_clear()
