"""What a journal says of each operator: timed itself, or as a slope over chains."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deploy.chains import chain_name, mirror
from profiler.journal import Journal, StoredFailure
from profiler.measure import judge_all
from profiler.plan import CampaignPlan
from profiler.slopes import Fit, cost, fit_chain
from profiler.stats import Judged, slow_windows
from search.errors import KitError
from search.operators import OperatorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Judged items by name, operators by key among them, and why others have none.

    `dispatch_us` is the chains' median intercept (None without chains).
    """

    judged: Mapping[str, Judged]
    failures: Mapping[str, StoredFailure]
    dispatch_us: float | None = None


def find(plan: CampaignPlan, journal: Journal) -> Findings:
    """Judge a whole journal."""
    judged, failures = judge_all(journal, plan.settings), journal.failures()
    if not plan.settings.chains:
        return Findings(judged=judged, failures=failures)
    return _Chains(plan, journal, judged, failures).find()


class _Chains:
    """Fits all chains of a journal."""

    def __init__(
        self,
        plan: CampaignPlan,
        journal: Journal,
        judged: Mapping[str, Judged],
        failures: Mapping[str, StoredFailure],
    ) -> None:
        self.plan, self.judged, self.failures = plan, judged, failures
        self.blocks, self.placements = journal.blocks(), journal.placements()
        self.windows = slow_windows(*journal.sentinels())
        self.fits: dict[str, Fit | None] = {}

    def find(self) -> Findings:
        judged, failures = dict(self.judged), dict(self.failures)
        for operator in self.plan.operators:
            found = self._operator(operator)
            if isinstance(found, Judged):
                judged[operator.key] = found
            else:
                failures[operator.key] = found
        sound = [fit for fit in self.fits.values() if fit is not None and fit.reason is None]
        intercepts = [float(np.mean(fit.intercepts_us)) for fit in sound]
        return Findings(
            judged=judged,
            failures=failures,
            dispatch_us=float(np.median(intercepts)) if intercepts else None,
        )

    def _operator(self, operator: OperatorSpec) -> Judged | StoredFailure:
        try:
            back = mirror(operator)
        except KitError as error:
            return StoredFailure(kind="export", message=error.message)
        parts = [operator] if back is None else [operator, back]
        for part in parts:
            for copies in self.plan.settings.chains:
                failure = self.failures.get(chain_name(part.key, copies))
                if failure is not None:
                    text = f"chain of {copies}: {failure.message}"
                    return StoredFailure(kind=failure.kind, message=text)
        fits = [self._fit(part) for part in parts]
        if None in fits:
            return StoredFailure(kind="preempted", message="no block ran undisturbed")
        effort = self.plan.settings.effort
        own, restoring = fits[0], fits[1] if back is not None else None
        assert own is not None
        found = cost(own, restoring, target=effort.target_relative_ci, seed=self.plan.settings.seed)
        if isinstance(found, Judged):
            return found
        kind, _, message = found.partition(": ")
        return StoredFailure(kind=kind, message=message)

    def _fit(self, operator: OperatorSpec) -> Fit | None:
        if operator.key not in self.fits:
            names = {n: chain_name(operator.key, n) for n in self.plan.settings.chains}
            self.fits[operator.key] = fit_chain(
                {n: self.blocks.get(name, []) for n, name in names.items()},
                slow_windows=self.windows,
                placements={
                    n: self.placements[name] for n, name in names.items() if name in self.placements
                },
            )
        return self.fits[operator.key]
