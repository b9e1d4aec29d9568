"""Files that the contracts run on, exported once for the whole session."""

import contextlib
import io
from collections.abc import Callable

import pytest

from deploy.artefact import ExportSpec
from deploy.exporters.base import ExportedFile
from deploy.exporters.registry import exporter_entry, make_exporter
from search.operators.spec import parse_key

pytest.register_assert_rewrite(
    "tests.contracts.agent_contract", "tests.contracts.exporter_contract"
)

SPECS = {
    "groups of two": ("ir_k3_e1_m16_g2_relu_i16_o24_h10_w10_s1_r0_p1_b1_{dtype}",),
    "residual": ("ir_k5_e3_m48_g1_relu_i16_o16_h12_w12_s1_r1_p1_b1_{dtype}",),
    "stride": ("ir_k3_e6_m96_g1_relu_i16_o24_h12_w12_s2_r0_p1_b1_{dtype}",),
    "squeeze-excite": ("ir_k3_e3_m48_g1_se16-sigmoid_hswish_i16_o16_h12_w12_s1_r1_p1_b1_{dtype}",),
    "split-attention": ("ir_k3_e3_m48_g1_sa4-16_swish_i16_o16_h12_w12_s1_r1_p1_b1_{dtype}",),
    "two depthwise": ("ir_k3_e3_m48_g1_dw-2_relu_i16_o16_h12_w12_s1_r1_p1_b1_{dtype}",),
    "extra depthwise": ("uib_d5_k3_e3_m48_relu_i16_o24_h12_w12_s2_r0_b1_{dtype}",),
    "depthwise at the start": ("uib_d3_k0_e4_m64_relu_i16_o16_h12_w12_s1_r1_b1_{dtype}",),
    "feed-forward": ("uib_d0_k0_e2_m32_relu_i16_o16_h12_w12_s1_r1_b1_{dtype}",),
    "classifier": ("classifier_i64_o100_h3_w3_b1_{dtype}",),
    "empty": ("empty_b1_{dtype}",),
    "network": (
        "conv_k3_g1_relu_i3_o16_h24_w24_s2_b1_{dtype}",
        "ir_k3_e6_m96_g1_relu_i16_o64_h12_w12_s2_r0_p1_b1_{dtype}",
        "classifier_i64_o100_h6_w6_b1_{dtype}",
    ),
}

Export = Callable[[str, str, str], ExportedFile]


def spec_of(name: str, dtype: str) -> ExportSpec:
    """One of the specs above, or the operator of this key."""
    keys = [key.format(dtype=dtype) for key in SPECS.get(name, (name,))]
    return ExportSpec(name=name, operators=tuple(map(parse_key, keys)))


@pytest.fixture(scope="session")
def export() -> Export:
    """(backend, dtype, spec name) to an exported file, each made once."""
    made: dict[tuple[str, str, str], ExportedFile] = {}

    def export(backend: str, dtype: str, name: str) -> ExportedFile:
        wanted = (backend, dtype, name)
        if wanted not in made:
            exporter = make_exporter(exporter_entry(backend, dtype))
            with contextlib.redirect_stdout(io.StringIO()):
                made[wanted] = exporter.build(spec_of(name, dtype))
        return made[wanted]

    return export
