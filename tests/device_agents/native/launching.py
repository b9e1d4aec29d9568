"""Plans for a native runner, and the ways to run them."""

import os
import subprocess
from pathlib import Path
from typing import Any, TypeVar

from device_agents import protocol
from device_agents.protocol import Plan, PlanItem, Record
from tests.waiting import PATIENCE_S

Kind = TypeVar("Kind", bound=Record)
TIMEOUT_S = PATIENCE_S


def item(file: Path, number: int = 0, **changes: Any) -> PlanItem:
    return PlanItem(id=number, file=str(file), sha256="", **changes)


def plan(*items: PlanItem, **changes: Any) -> Plan:
    fields = {"nonce": "n", "backend": "xnnpack", "threads": 1, "order_seed": 3, "rounds": 2}
    return Plan.model_validate({**fields, "min_block_ns": 20_000, "items": items, **changes})


def launch(runner: Path, *arguments: str, text: str = "", **env: str) -> Any:
    command = [str(runner), *arguments]
    every = {**os.environ, **env}
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=TIMEOUT_S, env=every
    )


def run(runner: Path, *plans: Plan, **env: str) -> list[Record]:
    text = "".join(f"{protocol.dump_plan(one)}\n" for one in plans)
    done = launch(runner, "--serve", text=text, **env)
    assert done.returncode == 0, done.stderr
    return [protocol.parse_record(line) for line in done.stdout.splitlines()]


def only(kind: type[Kind], records: list[Record]) -> list[Kind]:
    return [record for record in records if isinstance(record, kind)]


class Served:
    """A runner kept alive, one plan after the other."""

    def __init__(self, runner: Path, **env: str) -> None:
        self.process = subprocess.Popen(
            [str(runner), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **env},
        )

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def send(self, plan: Plan) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{protocol.dump_plan(plan)}\n")
        self.process.stdin.flush()

    def read(self) -> Record:
        assert self.process.stdout
        return protocol.parse_record(self.process.stdout.readline())

    def run(self, plan: Plan) -> list[Record]:
        self.send(plan)
        records = [self.read()]
        while not isinstance(records[-1], protocol.Bye):
            records.append(self.read())
        return records

    def status(self, field: str) -> list[str]:
        """One field of each of its threads."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
        return [line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")]
