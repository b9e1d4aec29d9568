"""From the steps that runners tell to parts that add up."""

from typing import Literal

import pytest

from device_agents.protocol import Event, Profile
from profiler.measuring.profiling import breakdown
from search.errors import DeviceError


def step(name: str, depth: int, us: float, kind: Literal["step", "delegated"] = "step") -> Event:
    return Event(item=0, name=name, kind=kind, depth=depth, ns=round(us * 1e3))


def told(whole_us: float, traced_us: float, *events: Event) -> tuple[Profile, list[Event]]:
    profile = Profile(
        item=0, calls=1, whole_ns=round(whole_us * 1e3), traced_ns=round(traced_us * 1e3)
    )
    return profile, list(events)


def network(conv_us: float = 60.0) -> list[Event]:
    return [
        step("Method::execute", 0, 112),
        step("DELEGATE_CALL", 1, conv_us + 35),
        step("Convolution (NHWC, F32) IGEMM #1", 2, conv_us, "delegated"),
        step("Convolution (NHWC, F32) IGEMM #2", 2, 30, "delegated"),
        step("OPERATOR_CALL", 1, 11),
        step("native_call_where.self_out", 2, 10),
    ]


def test_operators_are_what_has_no_step_inside() -> None:
    profile = breakdown([told(104, 115, *network())], backend="xnnpack", runtime="executorch 1.5.1")
    assert [(part.name, part.us, part.where) for part in profile.parts] == [
        ("Convolution (NHWC, F32) IGEMM #1", 60.0, "XNNPACK"),
        ("Convolution (NHWC, F32) IGEMM #2", 30.0, "XNNPACK"),
        ("where.self", 10.0, "kernel"),
    ]
    assert profile.parts_us == 100.0
    assert profile.rest_us == pytest.approx(15.0)
    assert profile.rest_share == pytest.approx(15 / 115)
    assert profile.outside == {"where.self": 10.0}


def test_what_is_boundary_dispatch_and_the_tracer_s_own_is_told_apart() -> None:
    profile = breakdown([told(104, 115, *network())], backend="xnnpack", runtime="x")
    assert profile.boundary_us == pytest.approx(5.0)  # of the delegate's call
    assert profile.dispatch_us == pytest.approx(1 + 6)  # of the operator's and the method's
    assert profile.tracer_us == pytest.approx(11.0)


def test_several_processes_are_averaged_by_their_calls() -> None:
    first, second = told(104, 115, *network()), told(124, 135, *network(80.0))
    profile = breakdown([first, second], backend="xnnpack", runtime="x")
    assert profile.calls == 2
    assert profile.whole_us == pytest.approx(114.0)
    assert profile.parts[0].us == pytest.approx(70.0)


def test_processes_that_took_different_steps_are_refused() -> None:
    with pytest.raises(DeviceError, match="different steps"):
        breakdown(
            [told(1, 1, *network()), told(1, 1, *network()[:-1])], backend="xnnpack", runtime="x"
        )


def test_operators_that_add_up_to_more_than_the_whole_are_said_to_be_too_short() -> None:
    short = breakdown([told(80, 90, *network())], backend="xnnpack", runtime="x")
    assert any("too short" in note for note in short.notes)
    usual = breakdown([told(104, 115, *network())], backend="xnnpack", runtime="x")
    assert not any("too short" in note for note in usual.notes)


def test_a_delegate_that_tells_nothing_is_one_part() -> None:
    events = [step("Method::execute", 0, 50), step("DELEGATE_CALL", 1, 48)]
    profile = breakdown([told(49, 50, *events)], backend="xnnpack", runtime="x")
    assert [(part.name, part.us) for part in profile.parts] == [("DELEGATE_CALL", 48.0)]
