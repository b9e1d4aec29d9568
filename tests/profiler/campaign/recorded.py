"""Records of prepared folders, as the app would write them."""

from pathlib import Path

from device_agents.base import AgentSettings
from device_agents.device import load_device
from device_agents.protocol import (
    Begin,
    Hello,
    Loaded,
    Plan,
    Record,
    dump_record,
    load_plan,
    parse_record,
)
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth

PHONE = load_device("iphonex")
# On a phone eight times slower the small space's operators take what FBNet's do.
TRUTH = Truth.from_options(
    {**load_device("simulated-iphone").options, "gmacs_per_s": 50.0, "gb_per_s": 3.75}
)


def measure(folder: Path, rounds: int | None = None) -> None:
    """What the app would do, done by the simulated phone."""
    plan = load_plan((folder / "plan.json").read_text())
    items = tuple(item.model_copy(update={"file": str(folder / item.file)}) for item in plan.items)
    wanted = {"items": items, "backend": "simulated", "rounds": rounds or plan.rounds}
    agent_settings = AgentSettings(backend="simulated", threads=1, affinity=None)
    contents = {item.id: item.sha256 for item in plan.items}
    with SimulatedAgent(agent_settings, TRUTH) as agent:
        records = [
            as_the_app_says(record, plan, contents)
            for record in agent.run(plan.model_copy(update=wanted))
        ]
    write_records(folder, records)


def as_the_app_says(record: Record, plan: Plan, contents: dict[int, str]) -> Record:
    match record:
        case Hello():
            phone = {"runner": "coreml-agent", "runtime": "coreml", "runtime_version": "16.7"}
            facts = {**phone, "device_model": "iPhone10,3", "backend": plan.backend}
            facts["runner_build"] = "2.0 (2)"
            return record.model_copy(update=facts)
        case Begin() | Loaded():
            placed = {"sha256": contents[record.item]}
            return record.model_copy(
                update=placed | ({"placement": None} if isinstance(record, Loaded) else {})
            )
    return record


def write_records(folder: Path, records: list[Record]) -> None:
    (folder / "records.jsonl").write_text("".join(f"{dump_record(r)}\n" for r in records))


def read_records(folder: Path) -> list[Record]:
    return [parse_record(line) for line in (folder / "records.jsonl").read_text().splitlines()]
