"""Where a network's time goes: calls that the runner traces, in several processes."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.artefact import Artefact
from deploy.verification.breakdown import Part, ProfileSource, TimeProfile
from device_agents.base import DeviceAgent
from device_agents.protocol import Event, Failure, Hello, Plan, PlanItem, Profile
from profiler.measuring.pinning import check_pinning
from profiler.settings import CampaignSettings
from search.errors import DeviceError
from search.files import sha256_file

# A program's memory lies elsewhere in each process, which decides a few per cent of its time.
LAUNCHES = 5
_CALLS_NS = 1_500_000_000
_FEWEST_CALLS, _MOST_CALLS = 6, 400
_TOO_SHORT = 0.02
_DELEGATE_CALL = "DELEGATE_CALL"
_KERNEL = "native_call_"
_STRUCTURE = ("Method::execute", "OPERATOR_CALL", "model_run", "SequentialExecutor::Execute")
_WHERE = {"xnnpack": "XNNPACK", "onnxruntime": "ONNX Runtime"}


@dataclass(frozen=True, slots=True)
class _Launch:
    """What one process told: the runtime, sums over calls, the steps."""

    runtime: str
    profile: Profile
    events: tuple[Event, ...]


def profile_network(
    agent: DeviceAgent,
    settings: CampaignSettings,
    artefact: Artefact,
    expected_us: float,
    input_file: Path | None = None,
    launches: int = LAUNCHES,
) -> TimeProfile:
    """Trace a network's calls; `expected_us` (its latency) decides how many.

    Raises:
        DeviceError: The runner cannot run it, or tells no steps.
        DeviceLost, DeviceTimeout: The device.
    """
    calls = round(_CALLS_NS / 2 / max(expected_us * 1e3, 1.0))
    item = PlanItem(
        id=0,
        file=agent.deliver(artefact.path, artefact.sha256),
        sha256=artefact.sha256,
        loops=1,
        input=agent.deliver(input_file, sha256_file(input_file)) if input_file else None,
        profile=min(max(calls // launches, _FEWEST_CALLS), _MOST_CALLS),
    )
    told = [_launch(agent, settings, item) for _ in range(launches)]
    return breakdown(
        [(one.profile, one.events) for one in told],
        backend=settings.backend,
        runtime=told[0].runtime,
    )


def _launch(agent: DeviceAgent, settings: CampaignSettings, item: PlanItem) -> _Launch:
    plan = Plan(
        nonce=uuid.uuid4().hex,
        backend=settings.backend,
        threads=settings.threads,
        affinity=settings.affinity,
        order_seed=0,
        rounds=1,  # with one, the native runner gets a process of its own
        min_block_ns=0,
        items=(item,),
    )
    runtime, profile, events = "", None, []
    for record in agent.run(plan):
        if isinstance(record, Hello):
            check_pinning(settings.affinity or agent.state().pinned, record.affinity)
            runtime = f"{record.runtime} {record.runtime_version or '?'}"
        elif isinstance(record, Failure):
            raise DeviceError(
                f"The runner cannot tell where the time goes ({record.kind}): {record.message}."
            )
        elif isinstance(record, Profile):
            profile = record
        elif isinstance(record, Event):
            events.append(record)
    if profile is None or not events:
        raise DeviceError(
            "The runner tells no steps: its runtime was built without an event tracer.",
            "Take the runtime from wheels (--runtime wheels), or leave --profile out.",
        )
    return _Launch(runtime, profile, tuple(events))


# --- from steps to parts


def breakdown(
    told: Sequence[tuple[Profile, Sequence[Event]]], *, backend: str, runtime: str
) -> TimeProfile:
    """The mean over processes; operators are what has no step inside.

    Raises:
        DeviceError: Two processes took different steps.
    """
    names = [[(event.name, event.depth) for event in events] for _, events in told]
    if any(one != names[0] for one in names):
        raise DeviceError("The network took different steps in two processes.")
    calls = sum(profile.calls for profile, _ in told)
    steps = [
        _Step(event.name, event.kind == "delegated", event.depth, total / calls / 1e3)
        for event, total in _totals([events for _, events in told])
    ]
    delegate = _WHERE.get(backend, backend)
    parts = tuple(
        Part(name=_plain(step.name), us=step.us, where=delegate if step.delegated else "kernel")
        for step, inner in _with_inner(steps)
        if not inner and step.name not in _STRUCTURE
    )
    own = [
        (step.name, step.us - sum(one.us for one in inner))
        for step, inner in _with_inner(steps)
        if inner
    ]
    whole_us = sum(profile.whole_ns for profile, _ in told) / calls / 1e3
    total_us = sum(profile.traced_ns for profile, _ in told) / calls / 1e3
    source: ProfileSource = "profiler" if backend == "onnxruntime" else "tracer"
    return TimeProfile(
        source=source,
        runtime=runtime,
        calls=calls,
        whole_us=whole_us,
        traced_us=total_us,
        parts=parts,
        boundary_us=sum(us for name, us in own if name == _DELEGATE_CALL),
        dispatch_us=sum(us for name, us in own if name != _DELEGATE_CALL),
        notes=tuple(_notes(parts, total_us)),
    )


def _notes(parts: Sequence[Part], total_us: float) -> Iterator[str]:
    """What the runtimes' resolution does to small operators."""
    yield (
        "the runtime counts an operator's time in whole microseconds: "
        f"up to {len(parts)} us of the rest are that"
    )
    if sum(part.us for part in parts) > (1 + _TOO_SHORT) * total_us:
        yield "operators are too short for this profiler: they add up to more than the whole"


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    delegated: bool
    depth: int
    us: float


def _totals(launches: Sequence[Sequence[Event]]) -> Iterator[tuple[Event, int]]:
    for column in zip(*launches, strict=True):
        yield column[0], sum(event.ns for event in column)


def _with_inner(steps: Sequence[_Step]) -> Iterator[tuple[_Step, list[_Step]]]:
    """Each step with those directly inside it."""
    for number, step in enumerate(steps):
        inner = []
        for later in steps[number + 1 :]:
            if later.depth <= step.depth:
                break
            if later.depth == step.depth + 1:
                inner.append(later)
        yield step, inner


def _plain(name: str) -> str:
    """A kernel by the name of its operator: `native_call_where.self_out` is `where.self`."""
    if not name.startswith(_KERNEL):
        return name
    return name.removeprefix(_KERNEL).removesuffix("_out").removesuffix(".out")
