"""Which runtime a campaign asks for, and which one a table was measured with."""

import json
from dataclasses import replace

import pytest

from device_agents.base import default_runtime
from profiler.planning.options import parse_runtime
from profiler.settings import runtime_of
from profiler.tables.diff import identity_differences
from profiler.tables.summary import summary
from profiler.tables.versions import exporter_of, table_stem
from search.errors import UsageError
from search.table.manifest import Manifest
from search.table.store import read_manifest, read_table
from tests.product import ROOT

GOLDEN = ROOT / "tests/golden/table_v3_complete"


def test_another_runtime_is_another_table_and_the_default_is_one_by_any_name(bench) -> None:
    default, ndk = bench.settings(), bench.settings(runtime="ndk")
    assert table_stem(ndk) == f"{table_stem(default)}-ndk"
    assert default.identity != ndk.identity
    assert (parse_runtime("wheels", "android"), parse_runtime("auto", "android")) == ("auto",) * 2
    assert parse_runtime("ndk", "android") == "ndk"
    assert parse_runtime(default_runtime("host"), "host") == "auto"
    with pytest.raises(UsageError, match="auto, wheels, installed, ndk"):
        bench.settings(runtime="jdk")


def test_journals_of_the_default_runtime_are_those_from_before_there_was_another(
    bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[dict[str, object]] = []
    dumps = json.dumps

    def remember(content: dict[str, object], sort_keys: bool) -> str:
        hashed.append(content)
        return dumps(content, sort_keys=sort_keys)

    monkeypatch.setattr("profiler.settings.json.dumps", remember)
    for settings in (bench.settings(), bench.settings(runtime="ndk")):
        assert settings.identity
    assert ["runtime" in content for content in hashed] == [False, True]


def _measured_with(kind: str, **toolchain: str) -> Manifest:
    manifest = read_manifest(GOLDEN)
    return manifest.model_copy(
        update={
            "device": manifest.device.model_copy(update={"kind": kind}),
            "runtime": manifest.runtime.model_copy(update={"toolchain": toolchain}),
        }
    )


@pytest.mark.parametrize(
    ("kind", "target", "runtime"),
    [
        ("android", "phone-wheels", "auto"),
        ("android", "android-arm64", "ndk"),
        ("rehearsal", "phone-wheels", "auto"),
        ("simulated", "host", "auto"),
    ],
)
def test_a_table_says_which_runtime_measures_it_again(kind: str, target: str, runtime: str) -> None:
    assert runtime_of(_measured_with(kind, runner_target=target)) == runtime
    assert runtime_of(_measured_with(kind)) == "auto"


def test_on_the_host_the_other_runtime_is_named_by_its_table() -> None:
    found = {
        target: runtime_of(_measured_with("host", runner_target=target))
        for target in ("host", "host-wheels")
    }
    other = {"wheels": "installed", "installed": "wheels"}[default_runtime("host")]
    assert sorted(found.values()) == sorted(["auto", other])


def test_the_release_that_made_the_programs_is_told_where_another_one_runs_them() -> None:
    table = read_table(GOLDEN)
    runtime = table.manifest.runtime.model_copy(update={"name": "executorch", "version": "1.5.1"})
    kit = table.manifest.kit.model_copy(update={"packages": {"executorch": "1.4.1"}})
    other = table.manifest.model_copy(update={"runtime": runtime, "kit": kit})
    same = runtime.model_copy(update={"version": "1.4.1"})
    both = table.manifest.model_copy(update={"runtime": same, "kit": kit})
    assert exporter_of(other) == exporter_of(both) == "executorch 1.4.1"
    told, silent = (
        " ".join(" ".join(summary(replace(table, manifest=manifest))).split())
        for manifest in (other, both)
    )
    assert "programs by executorch 1.4.1" in told
    assert "programs by" not in silent
    differences = " ".join(identity_differences(both, other))
    assert "runtime: executorch 1.4.1 -> executorch 1.5.1" in differences
    assert "exporter" not in differences
