"""What a proof says of a target that is missed."""

import pytest

from deploy.verification.device_side import Latency, LatencyPrediction, VerificationReport

TABLE_KHZ = 4_500_000


def proof(centre_us: float, clock_khz: int | None, target_us: float = 70.0) -> VerificationReport:
    latency = Latency(
        centre_us=centre_us,
        low_us=centre_us,
        high_us=centre_us,
        first_us=centre_us,
        passes=10,
        blocks=80,
        stable=True,
        clock_khz=clock_khz,
    )
    prediction = LatencyPrediction(
        table="phone/table",
        value_us=69.0,
        low_us=68.0,
        high_us=70.0,
        probability=0.9,
        clock_khz=TABLE_KHZ,
        difference=0.0,
        difference_at_clock=None,
    )
    return VerificationReport(
        device="phone",
        model=None,
        source="measured",
        runtime="executorch 1.4.1",
        runner="executorch-native",
        backend="xnnpack",
        threads=1,
        numbers=None,
        latency=latency,
        prediction=prediction,
        target_us=target_us,
    )


def test_a_target_missed_by_a_slow_clock_alone_names_one_that_leaves_room() -> None:
    (problem,) = proof(72.0, TABLE_KHZ * 95 // 100).problems
    assert problem == (
        "the target is missed: the clock ran 5.0% below the table's; a search with "
        "--target-ms 0.0665 leaves room for that"
    )


@pytest.mark.parametrize(
    ("centre_us", "clock_khz"), [(72.0, None), (72.0, TABLE_KHZ), (80.0, TABLE_KHZ * 95 // 100)]
)
def test_a_target_missed_for_another_reason_is_just_missed(
    centre_us: float, clock_khz: int | None
) -> None:
    assert proof(centre_us, clock_khz).problems == ("the target is missed",)


def test_a_target_met_at_a_slow_clock_is_no_problem() -> None:
    assert proof(69.0, TABLE_KHZ * 95 // 100).problems == ()
