"""The exporter contract over every exporter that needs a runtime."""

from typing import Any

import pytest

pytest.importorskip("torch", reason="exporters build on torch")

from deploy.exporters import verify
from deploy.exporters.registry import exporter_entry, make_exporter
from search.errors import ExportError
from tests.contracts.conftest import Export, spec_of
from tests.contracts.exporter_contract import ExporterContract

FBNETV2 = {
    "a hard sigmoid gate": (
        "ir_k3_e3_m48_g1_se16-hsigmoid_hswish_i16_o16_h12_w12_s1_r1_p1_b1_fp32"
    ),
    "h-swish by relu6": "ir_k3_e3_m48_g1_hswish6_i16_o16_h12_w12_s1_r1_p1_b1_fp32",
    "a hidden layer": "classifier_m32-hswish_i64_o100_h3_w3_b1_fp32",
}


class TestXnnpackFp32(ExporterContract):
    backend, dtype, module = "xnnpack", "fp32", "deploy.exporters.executorch"
    error_limit, fault = 1e-4, 1.01

    def test_the_empty_program_hands_its_input_back(self, export: Export) -> None:
        assert export("xnnpack", "fp32", "empty").relative_error == 0

    def test_work_outside_the_delegate_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(verify, "seeded_network", with_a_sort)
        exporter = make_exporter(exporter_entry("xnnpack", "fp32"))
        with pytest.raises(ExportError, match=r"not delegated to XNNPACK: .*sort"):
            exporter.build(spec_of("stride", "fp32"))

    @pytest.mark.parametrize("name", FBNETV2)
    def test_blocks_of_fbnetv2_are_delegated_whole(self, export: Export, name: str) -> None:
        assert export("xnnpack", "fp32", FBNETV2[name]).relative_error <= self.error_limit


class TestXnnpackInt8(ExporterContract):
    backend, dtype, module = "xnnpack", "int8", "deploy.exporters.executorch"
    error_limit, fault = 0.2, 2.0

    def test_weights_take_a_quarter_of_the_room(self, export: Export) -> None:
        int8, fp32 = (export("xnnpack", dtype, "classifier") for dtype in ("int8", "fp32"))
        assert len(fp32.content) - len(int8.content) > 0.6 * 64 * 100 * 3

    @pytest.mark.parametrize("name", FBNETV2)
    def test_blocks_of_fbnetv2_are_delegated_whole(self, export: Export, name: str) -> None:
        key = FBNETV2[name].replace("fp32", "int8")
        assert export("xnnpack", "int8", key).relative_error <= self.error_limit


class TestOnnxFp32(ExporterContract):
    backend, dtype, module = "onnxruntime", "fp32", "deploy.exporters.onnx"
    error_limit, fault = 1e-4, 1.01

    @pytest.mark.parametrize("name", FBNETV2)
    def test_blocks_of_fbnetv2_can_be_exported(self, export: Export, name: str) -> None:
        assert export("onnxruntime", "fp32", FBNETV2[name]).relative_error <= self.error_limit


class CoremlContract(ExporterContract):
    backend, module = "coreml", "deploy.exporters.coreml"

    @pytest.fixture(autouse=True)
    def _needs_coremltools(self) -> None:
        pytest.importorskip("coremltools", reason="needs the iphone extra")

    @pytest.mark.parametrize("name", FBNETV2)
    def test_blocks_of_fbnetv2_can_be_exported(self, export: Export, name: str) -> None:
        key = FBNETV2[name].replace("fp32", self.dtype)
        assert export("coreml", self.dtype, key).relative_error <= self.error_limit

    def test_two_builds_of_one_spec_are_the_same_bytes(self, export: Export) -> None:
        exporter = make_exporter(exporter_entry("coreml", self.dtype))
        again = exporter.build(spec_of("stride", self.dtype))
        assert again == export("coreml", self.dtype, "stride")


class TestCoremlFp16(CoremlContract):
    dtype = "fp16"
    error_limit, fault = 5e-3, 1.01


class TestCoremlFp32(CoremlContract):
    dtype = "fp32"
    error_limit, fault = 1e-5, 1.001


@pytest.mark.thorough
class TestCoremlW8(CoremlContract):
    dtype = "w8"
    error_limit, fault = 0.02, 2.0


@pytest.mark.thorough
class TestCoremlDelegate:
    @pytest.fixture(autouse=True)
    def _needs_the_delegate(self) -> None:
        for package in ("coremltools", "executorch.backends.apple.coreml.executorchcoreml"):
            pytest.importorskip(package, reason="needs ExecuTorch with its Core ML delegate")

    @pytest.mark.parametrize("name", ["network", "groups of two", "squeeze-excite"])
    def test_the_package_inside_computes_what_torch_does(self, name: str, export: Export) -> None:
        assert export("coreml-delegate", "fp16", name).relative_error <= 5e-3

    def test_a_program_without_work_for_the_delegate_is_refused(self) -> None:
        exporter = make_exporter(exporter_entry("coreml-delegate", "fp16"))
        with pytest.raises(ExportError, match="Not one Core ML delegate: nothing"):
            exporter.build(spec_of("empty", "fp16"))


def with_a_sort(operators: Any) -> Any:
    import torch

    class Sorted(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.sort(x * 2, dim=1).values

    return torch.nn.Sequential(torch.nn.Conv2d(16, 16, 1), Sorted()).eval()
