"""Artefacts are found by content, and only whole."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.artefact import Artefact, ExportSpec, cached_path, digest, find_artefact, store
from search.operators.spec import OperatorSpec, parse_key

FIRST = parse_key("skip_i24_h56_w56_b1_fp32")
SECOND = parse_key("classifier_i64_o10_h7_w7_b1_fp32")
NETWORK = ExportSpec(name="net", operators=(FIRST, SECOND))
TOOLS = {"torch": "2.13.0", "kit": "abc"}


def stored(path: Path, content: bytes = b"program") -> Artefact:
    return store(
        path,
        content,
        exporter="x",
        operator_keys=["a"],
        toolchain=TOOLS,
        relative_error=0.5,
        build_seconds=1.5,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "down" / "file.pte"


def sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def test_what_was_stored_is_found_with_its_facts(path: Path) -> None:
    artefact = stored(path)
    assert find_artefact(path) == artefact
    assert path.read_bytes() == b"program"
    facts = (artefact.exporter, artefact.relative_error, artefact.size_bytes)
    assert facts == ("x", 0.5, 7)
    assert artefact.build_seconds == 1.5


def test_storing_again_replaces_both_files(path: Path) -> None:
    first, second = stored(path), stored(path, b"another")
    assert first.sha256 != second.sha256
    assert find_artefact(path) == second
    assert sorted(file.name for file in path.parent.iterdir()) == ["file.pte", "file.pte.json"]


def edit(**changes: Any) -> Any:
    def damage(path: Path) -> None:
        notes = json.loads(sidecar(path).read_text())
        sidecar(path).write_text(json.dumps({**notes, **changes}))

    return damage


DAMAGES = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "one bit flipped": lambda path: path.write_bytes(b"prograM"),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "without notes": lambda path: sidecar(path).unlink(),
    "with notes cut short": lambda path: sidecar(path).write_text(sidecar(path).read_text()[:-2]),
    "with empty notes": lambda path: sidecar(path).write_text(""),
    "with notes that are no text": lambda path: sidecar(path).write_bytes(b"\xff"),
    "with notes of another hash": edit(sha256="0" * 64),
    "with notes of another size": edit(size_bytes=6),
    "with notes of another type": edit(relative_error="none"),
    "with a note too many": edit(colour="red"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_artefact_is_as_good_as_absent_and_can_be_stored_anew(
    how: str, path: Path
) -> None:
    stored(path)
    DAMAGES[how](path)
    assert find_artefact(path) is None
    if how == "a folder":
        path.rmdir()
    artefact = stored(path)
    assert find_artefact(path) == artefact


def test_what_was_never_stored_is_not_found(path: Path) -> None:
    assert find_artefact(path) is None


def test_a_file_without_its_notes_is_unfinished(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"program")
    assert find_artefact(path) is None


def test_the_address_does_not_depend_on_names_or_the_order_of_tools() -> None:
    other = replace(NETWORK, name="other")
    backwards = dict(reversed(TOOLS.items()))
    assert digest(NETWORK, "x", TOOLS) == digest(other, "x", backwards)


def addresses_of_variants(weights: Path) -> dict[str, str]:
    def spec(*operators: OperatorSpec, weights: Path | None = None) -> ExportSpec:
        return ExportSpec(name="net", operators=operators, weights=weights)

    return {
        "plain": digest(NETWORK, "x", TOOLS),
        "another exporter": digest(NETWORK, "y", TOOLS),
        "another version": digest(NETWORK, "x", {**TOOLS, "torch": "2.13.1"}),
        "another tool": digest(NETWORK, "x", {**TOOLS, "onnx": "2.13.0"}),
        "a tool less": digest(NETWORK, "x", {"kit": "abc"}),
        "an operator less": digest(spec(FIRST), "x", TOOLS),
        "an operator twice": digest(spec(FIRST, FIRST, SECOND), "x", TOOLS),
        "another order": digest(spec(SECOND, FIRST), "x", TOOLS),
        "another dtype": digest(spec(FIRST, SECOND.with_dtype("int8")), "x", TOOLS),
        "weights": digest(spec(FIRST, SECOND, weights=weights), "x", TOOLS),
    }


def test_whatever_shapes_a_file_changes_its_address(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"one")
    before = addresses_of_variants(weights)
    weights.write_bytes(b"two")
    after = addresses_of_variants(weights)
    assert len(set(before.values())) == len(before)
    assert {name for name in before if before[name] != after[name]} == {"weights"}


def test_equal_weights_at_another_place_have_the_same_address(tmp_path: Path) -> None:
    addresses = set()
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"weights")
        addresses.add(digest(replace(NETWORK, weights=tmp_path / name), "x", TOOLS))
    assert len(addresses) == 1


def test_artefacts_lie_in_the_cache_under_their_exporter(own_cache: Path) -> None:
    place = cached_path("xnnpack-fp32", ".pte", "abcdef")
    assert place == own_cache / "artefacts/xnnpack-fp32/ab/abcdef.pte"


def test_the_cache_is_the_users_unless_told_otherwise(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setenv("KIT_CACHE", "")
    assert "fbnet-kit" in str(cached_path("x", ".pte", "abcdef"))
    assert own_cache not in cached_path("x", ".pte", "abcdef").parents


def test_an_operator_alone_is_a_spec_named_by_its_key() -> None:
    spec = ExportSpec.of(SECOND)
    assert (spec.name, spec.operators, spec.weights) == (SECOND.key, (SECOND,), None)
