"""When a campaign has measured enough: what networks' prices still gain from another pass."""

from collections.abc import Mapping

import numpy as np

from profiler.analysis.judge import Measurement
from profiler.journal import Journal
from profiler.planning.plan import CampaignPlan
from profiler.results.judged import Measurements, judge_journal
from profiler.settings import BAR_MAPE
from search.latency.trust import (
    NETWORK_BOUND,
    NetworkUncertainty,
    Rows,
    network_uncertainty,
    open_choices,
    typical_us,
)

# Some twenty rows add up to a network, and their errors average: rows known to 5 % leave
# about 1 % open, a fifth.
NETWORK_SHARE = 5
# The exam's networks must be known well enough to be judged by.
_EXAM_SHARE = BAR_MAPE / 2


def unsettled(plan: CampaignPlan, journal: Journal) -> str:
    """Why another pass is worth its time, in a few words; empty when none is.

    A wide row is no reason where networks are known well enough. Where no whole
    network is measured with all its operators, each row counts by itself.
    """
    measurements = judge_journal(plan, journal)
    names = [operator.key for operator in plan.operators]
    missing = set(names) - set(measurements.by_name) - set(measurements.failures)
    if missing:
        return f"{len(missing)} never undisturbed"
    rows = {key: measurements.by_name[key].interval for key in names if key in measurements.by_name}
    fixed_us = measurements.dispatch_us or 0.0
    left_open = network_uncertainty(
        (network.operators for network in plan.networks), rows, fixed_us
    )
    if left_open is None:
        wide = measurements.unstable(names)
        return f"{len(wide)} not yet stable" if wide else ""
    return _rows_reason(plan, rows, left_open, fixed_us) or _exam_reason(plan, measurements)


def _rows_reason(
    plan: CampaignPlan, rows: Rows, left_open: NetworkUncertainty, fixed_us: float
) -> str:
    """What the rows' intervals leave open, where that is too much."""
    asked = plan.settings.effort.target_relative_ci / NETWORK_SHARE
    if left_open.median > asked:
        return f"networks +-{left_open.median:.1%}, asked for {asked:.1%}"
    if left_open.largest > (bound := max(NETWORK_BOUND, asked)):
        return f"one network +-{left_open.largest:.1%}, at most {bound:.0%}"
    networks = [network.operators for network in plan.networks]
    choices = open_choices(plan.space, rows, typical_us(networks, rows, fixed_us))
    return f"{len(choices)} choices open" if choices else ""


def _exam_reason(plan: CampaignPlan, measurements: Measurements) -> str:
    """How badly the exam's networks themselves are known, where that is too badly."""
    widths = _half_widths(plan, measurements.by_name)
    asked = max(_EXAM_SHARE, plan.settings.effort.target_relative_ci / NETWORK_SHARE)
    if widths and (median := float(np.median(widths))) > asked:
        return f"exam networks +-{median:.1%}, asked for {asked:.1%}"
    return ""


def _half_widths(plan: CampaignPlan, by_name: Mapping[str, Measurement]) -> list[float]:
    return [by_name[n.name].relative_half_width for n in plan.networks if n.name in by_name]
