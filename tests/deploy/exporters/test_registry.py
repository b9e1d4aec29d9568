"""Exporters are found by backend and dtype, and never overwritten."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from deploy.artefact import ExportSpec
from deploy.exporters import registry
from deploy.exporters.registry import (
    ExporterEntry,
    backends,
    exporter_entry,
    make_exporter,
    register,
    toolchain,
)
from search.errors import ExportError, UsageError
from search.operators.spec import parse_key

OWN = ExporterEntry(name="by-name", suffix=".txt", target="tests.deploy.exporters.by_name:ByName")
ROOT = Path(registry.__file__).parents[2]


@pytest.fixture(autouse=True)
def _registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="Unknown backend 'xnpack'") as raised:
        exporter_entry("xnpack", "fp32")
    assert all(backend in raised.value.remedy for backend in backends())


def test_a_dtype_that_a_backend_has_not_is_refused_with_those_it_has() -> None:
    with pytest.raises(UsageError, match="xnnpack has no exporter for 'fp8'") as raised:
        exporter_entry("xnnpack", "fp8")
    assert "fp32, int8" in raised.value.remedy
    with pytest.raises(UsageError, match="onnxruntime has no exporter for 'int8'") as raised:
        exporter_entry("onnxruntime", "int8")
    assert raised.value.remedy == "It knows fp32."


def test_an_exporter_can_be_added_and_used() -> None:
    register("toaster", "fp32", OWN)
    assert "toaster" in backends()
    assert exporter_entry("toaster", "fp32") == OWN
    exporter = make_exporter(exporter_entry("toaster", "fp32"))
    assert exporter.build(ExportSpec(name="bread", operators=())).content == b"bread"


@pytest.mark.parametrize("pair", [("xnnpack", "fp32"), ("simulated", "int8"), ("mine", "fp32")])
def test_an_exporter_cannot_take_the_place_of_another(pair: tuple[str, str]) -> None:
    register("mine", "fp32", OWN)
    before = exporter_entry(*pair)
    with pytest.raises(UsageError, match=f"{pair[0]} {pair[1]} is registered already"):
        register(*pair, ExporterEntry(name="x", suffix=".x", target="x:X"))
    assert exporter_entry(*pair) == before


def test_a_backend_may_have_more_dtypes_than_one() -> None:
    register("mine", "fp32", OWN)
    register("mine", "int8", OWN)
    assert backends().count("mine") == 1


@pytest.mark.parametrize("pair", list(registry._ENTRIES))
def test_every_entry_names_a_module_of_the_kit_that_says_what_it_makes(
    pair: tuple[str, str],
) -> None:
    entry = exporter_entry(*pair)
    module, _, name = entry.target.partition(":")
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    assert f"class {name}:" in source or f"class {name}(" in source
    assert entry.suffix.startswith(".")


def test_a_toolchain_is_the_versions_of_its_packages_and_of_the_kits_sources() -> None:
    entry = ExporterEntry(name="x", suffix=".x", target=OWN.target, packages=("pydantic",))
    found = toolchain(entry)
    assert set(found) == {"pydantic", "kit"}
    assert found["pydantic"][0].isdigit()
    assert found == toolchain(entry)


def test_another_source_is_another_revision() -> None:
    other = ExporterEntry(name="by-name", suffix=".txt", target="deploy.exporters.simulated:X")
    assert toolchain(OWN)["kit"] != toolchain(other)["kit"]


def test_a_package_that_is_not_installed_is_named_with_a_remedy() -> None:
    entry = ExporterEntry(name="x", suffix=".x", target=OWN.target, packages=("no-such-package",))
    with pytest.raises(ExportError, match="x needs the package no-such-package") as raised:
        toolchain(entry)
    assert "profile" in raised.value.remedy


def test_the_simulated_exporter_writes_the_keys_and_is_exact() -> None:
    keys = ["skip_i24_h56_w56_b1_fp32", "classifier_i64_o10_h7_w7_b1_fp32"]
    exporter = make_exporter(exporter_entry("simulated", "fp32"))
    exported = exporter.build(ExportSpec(name="n", operators=tuple(map(parse_key, keys))))
    assert exported.content.decode() == f'["{keys[0]}", "{keys[1]}"]'
    assert exported.relative_error == 0


@pytest.mark.parametrize(("python", "told"), [((3, 13), False), ((3, 14), True)])
def test_a_package_without_a_release_for_this_python_is_said_to_have_none(
    monkeypatch: pytest.MonkeyPatch, python: tuple[int, int], told: bool
) -> None:
    def missing(name: str) -> str:
        if name == "coremltools":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(registry, "version", missing)
    monkeypatch.setattr("sys.version_info", (*python, 0))
    with pytest.raises(ExportError, match="coremltools, which is not installed") as error:
        registry.toolchain(registry.exporter_entry("coreml-cpu_only", "fp32"))
    assert ("Python 3.13 or older" in error.value.remedy) is told
