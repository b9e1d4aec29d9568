"""A table says how its runner was built, where that is known."""

from collections.abc import Iterator
from pathlib import Path

from device_agents.native.record import FILE, RunnerBuild
from device_agents.protocol import Hello, Plan, Record
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from search.cache import cache_root

SHA256 = "5e" * 32
BUILD = RunnerBuild(
    target="android-arm64",
    sha256=SHA256,
    compiler="clang version 19.0.1",
    command=("cmake",),
    executorch="1.4.1",
    ndk="28.2.13676358",
    switches={"EXECUTORCH_XNNPACK_ENABLE_WEIGHT_CACHE": "ON"},
)


class BuiltAgent(SimulatedAgent):
    """A simulated device whose runner has a sha256."""

    def run(self, plan: Plan) -> Iterator[Record]:
        for record in super().run(plan):
            if isinstance(record, Hello):
                record = record.model_copy(update={"runner_sha256": SHA256})
            yield record


def record_build() -> None:
    path: Path = cache_root() / "runners/some" / FILE
    path.parent.mkdir(parents=True)
    path.write_text(BUILD.model_dump_json())


def test_a_table_repeats_compiler_and_switches_of_its_runner(bench) -> None:
    record_build()
    table = bench.measure(agent=BuiltAgent(bench.agent_settings(), Truth()))
    toolchain = table.manifest.runtime.toolchain
    assert BUILD.facts().items() <= toolchain.items()
    assert toolchain["EXECUTORCH_XNNPACK_ENABLE_WEIGHT_CACHE"] == "ON"
    assert toolchain["runner_ndk"] == "28.2.13676358"


def test_of_an_unknown_runner_a_table_says_nothing(bench) -> None:
    table = bench.measure(agent=BuiltAgent(bench.agent_settings(), Truth()))
    assert not [name for name in table.manifest.runtime.toolchain if name.startswith("runner")]


def test_the_record_of_another_runner_is_not_taken(bench) -> None:
    record_build()
    toolchain = bench.measure().manifest.runtime.toolchain
    assert not [name for name in toolchain if name.startswith("runner")]
