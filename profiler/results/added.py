"""Networks that were added to a table: what was measured for them, and how well it prices them."""

from collections.abc import Sequence

from profiler.analysis.exam import MeasuredNetwork
from profiler.planning.plan import CampaignPlan, wanted_operators
from search.console.messages import counted
from search.table.calibration import Calibration


def added_notes(
    plan: CampaignPlan, measured: Sequence[MeasuredNetwork], calibration: Calibration | None
) -> tuple[str, ...]:
    """Notes of a table: which rows are beyond its space, and each added network against them.

    Args:
        plan: Of the campaign; notes name its added networks as their files do.
        measured: Those of the added networks that were timed whole.
        calibration: The table's; None: nothing can be predicted.
    """
    own = set(wanted_operators(plan.space))
    beyond = [operator for operator in plan.operators if operator not in own]
    if not beyond and not plan.added:
        return ()
    rows = (
        f"{counted(len(beyond), 'operator')} beyond those of the space, measured in one run "
        "with all other rows"
    )
    names = {
        export.name: network.name
        for export, network in zip(plan.added, plan.settings.added_networks, strict=True)
    }
    return (rows, *(_against(names[one.name], one, calibration) for one in measured))


def _against(name: str, network: MeasuredNetwork, calibration: Calibration | None) -> str:
    """A whole network beside what its rows add up to."""
    whole = f"{name} was timed as a whole in the same run: {network.measured_us:.1f} us"
    if calibration is None:
        return whole
    estimate = network.estimate(calibration)
    error = estimate.value_us / network.measured_us - 1
    return (
        f"{whole}, predicted {estimate.value_us:.1f} us "
        f"[{estimate.low_us:.1f}, {estimate.high_us:.1f}], {error:+.1%}"
    )
