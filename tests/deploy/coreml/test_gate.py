"""Faults planted in a package are caught before it is accepted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="packages are made from torch modules")
pytest.importorskip("coremltools", reason="packages are made by coremltools")

from deploy.artefact import ExportSpec
from deploy.chains.programs import adapter_alone, chain
from deploy.coreml.package import open_package, unpack
from deploy.exporters import coreml
from deploy.exporters.registry import exporter_entry, make_exporter
from search.errors import ExportError
from search.operators.spec import parse_key
from tests.contracts.conftest import SPECS
from tests.deploy.coreml.planted import (
    PLANTED,
    Change,
    a_wrong_quantisation_scale,
    one_doubled_scale,
    one_quantised_row_zeroed,
)
from tests.deploy.coreml.tampering import Tampered, tamper, tamper_manifest

pytestmark = pytest.mark.thorough

LENGTHS = {"chain": 4, "sixteen": 16}
EXTRA = {"relu6": ("ir_k3_e3_m48_g1_relu6_i16_o16_h12_w12_s1_r1_p1_b1_{dtype}",)}


def spec_of(name: str, dtype: str = "fp16") -> ExportSpec:
    length, _, chained = name.partition(" of ")
    if length == "back":
        back = adapter_alone(parse_key(SPECS[chained][0].format(dtype=dtype)))
        assert back is not None
        return back
    if length in LENGTHS:
        return chain(parse_key(SPECS[chained][0].format(dtype=dtype)), LENGTHS[length])
    keys = [key.format(dtype=dtype) for key in SPECS.get(name, EXTRA.get(name, ()))]
    return ExportSpec(name=name, operators=tuple(map(parse_key, keys)))


@pytest.fixture(scope="module")
def exported() -> dict[Any, bytes]:
    return {}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_caught(
    fault: str, exported: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, change = PLANTED[fault]
    exporter = make_exporter(exporter_entry("coreml", "fp16"))
    if name not in exported:
        exported[name] = exporter.build(spec_of(name)).content
    content = tamper(exported[name], change)
    assert content != exported[name]
    monkeypatch.setattr(coreml, "_export", lambda *_, **__: content)
    with pytest.raises(ExportError):
        exporter.build(spec_of(name))


def rename_consistently(p: Tampered) -> None:
    for block_input in (p.function.inputs[0], p.spec.description.input[0]):
        block_input.name = "pixels"
    for op in p.block.operations:
        for argument in op.inputs.values():
            for binding in argument.arguments:
                if binding.name == "x":
                    binding.name = "pixels"


def move_constants_to_the_front(p: Tampered) -> None:
    ops = sorted(p.block.operations, key=lambda op: op.type != "const")
    copies = [type(op).FromString(op.SerializeToString()) for op in ops]
    del p.block.operations[:]
    p.block.operations.extend(copies)


HARMLESS: dict[str, Change] = {
    "nothing": lambda _: None,
    "a comment": lambda p: p.spec.description.metadata.userDefined.update({"by": "me"}),
    "another author": lambda p: setattr(p.spec.description.metadata, "author", "me"),
    "an input renamed throughout": rename_consistently,
    "constants first": move_constants_to_the_front,
    "an operation's label": lambda p: p.ops("conv")[0].attributes["name"].immediateValue.tensor
    .strings.values.__setitem__(0, "first"),
}  # fmt: skip


@pytest.mark.parametrize("change", HARMLESS)
def test_a_harmless_change_passes(
    change: str, exported: dict[Any, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = make_exporter(exporter_entry("coreml", "fp16"))
    name = "chain of stride"
    if name not in exported:
        exported[name] = exporter.build(spec_of(name)).content
    content = tamper(exported[name], HARMLESS[change])
    monkeypatch.setattr(coreml, "_export", lambda *_, **__: content)
    assert exporter.build(spec_of(name)).relative_error < 1e-3


MANIFESTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "not JSON": lambda _: b"{",
    "no entries": lambda m: m.update(itemInfoEntries={}),
    "another root": lambda m: m.update(rootModelIdentifier="0" * 36),
    "a file that is not there": lambda m: m["itemInfoEntries"].update(
        {"1": {"path": "com.apple.CoreML/more", "author": "a", "name": "b", "description": "c"}}
    ),
    "weights as the root": lambda m: m.update(
        rootModelIdentifier=next(
            key for key, item in m["itemInfoEntries"].items() if "weights" in item["path"]
        )
    ),
    "weights not listed": lambda m: m.update(
        itemInfoEntries={
            key: item for key, item in m["itemInfoEntries"].items() if "weights" not in item["path"]
        }
    ),
}


@pytest.mark.parametrize("fault", MANIFESTS)
def test_a_broken_manifest_is_caught(
    fault: str, exported: dict[Any, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = make_exporter(exporter_entry("coreml", "fp16"))
    if "residual" not in exported:
        exported["residual"] = exporter.build(spec_of("residual")).content
    content = tamper_manifest(exported["residual"], MANIFESTS[fault])
    monkeypatch.setattr(coreml, "_export", lambda *_, **__: content)
    with pytest.raises(ExportError):
        exporter.build(spec_of("residual"))


def test_the_empty_program_can_be_opened(tmp_path: Path) -> None:
    """It has no weights, and its manifest must not list any."""
    exporter = make_exporter(exporter_entry("coreml", "fp16"))
    unpack(exporter.build(spec_of("empty")).content, tmp_path / "empty.mlpackage")
    open_package(tmp_path / "empty.mlpackage")


@pytest.mark.parametrize(
    "change",
    [
        a_wrong_quantisation_scale,
        one_doubled_scale(0),
        one_doubled_scale(1),
        one_doubled_scale(2),
        one_quantised_row_zeroed,
    ],
)
def test_a_wrong_quantisation_is_caught(
    change: Change, exported: dict[Any, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One channel of one weight is enough, although outputs hardly show it."""
    exporter = make_exporter(exporter_entry("coreml", "w8"))
    name = ("w8", "residual")
    if name not in exported:
        exported[name] = exporter.build(spec_of("residual", "w8")).content
    content = tamper(exported[name], change)
    assert content != exported[name]
    monkeypatch.setattr(coreml, "_export", lambda *_, **__: content)
    with pytest.raises(ExportError):
        exporter.build(spec_of("residual", "w8"))
