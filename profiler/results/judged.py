"""What a journal says of each operator: timed itself, or as a slope over chains."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deploy.artefact import Subject
from deploy.chains.programs import opened, restoring, way_back
from profiler.analysis.judge import Judged, slow_windows
from profiler.analysis.shape_adapters import Back, Seen, Shape, restoring_costs
from profiler.analysis.slopes import Fit, cost, fit_chain, medians_by_pass
from profiler.journal import Journal, StoredFailure
from profiler.measuring.loop import judge_all
from profiler.planning.plan import CampaignPlan
from search.errors import KitError
from search.operators.spec import OperatorSpec


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


def unsettled(plan: CampaignPlan, journal: Journal) -> set[str]:
    """Operators and networks whose interval is still wider than asked for.

    For chains: an operator's interval is that of its slope, or of the
    difference of two, not those of the programs behind it.
    """
    found = find(plan, journal)
    names = [operator.key for operator in plan.operators]
    names += [network.name for network in (*plan.calibration, *plan.exam)]
    left = [name for name in names if name not in found.failures]
    return {name for name in left if name not in found.judged or not found.judged[name].stable}


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

    def find(self) -> Findings:
        judged, failures = dict(self.judged), dict(self.failures)
        fits = {operator: self._fit(operator) for operator in self.plan.operators}
        sound = {o: f for o, f in fits.items() if isinstance(f, Fit) and f.reason is None}
        restoring = self._restoring(sound)
        for operator, fit in fits.items():
            found = self._cost(operator, fit, restoring) if isinstance(fit, Fit) else fit
            if isinstance(found, Judged):
                judged[operator.key] = found
            else:
                failures[operator.key] = found
        intercepts = [float(np.mean(fit.intercepts_us)) for fit in sound.values()]
        return Findings(
            judged=judged,
            failures=failures,
            dispatch_us=float(np.median(intercepts)) if intercepts else None,
        )

    def _fit(self, operator: OperatorSpec) -> Fit | StoredFailure:
        try:
            programs = self.plan.timed(operator)
            restoring(operator)
        except KitError as error:
            return StoredFailure(kind="export", message=error.message)
        for subject in programs:
            failure = self.failures.get(subject.name)
            if failure is not None:
                text = f"{_words(subject)}: {failure.message}"
                return StoredFailure(kind=failure.kind, message=text)
        fit = fit_chain(
            {
                subject.copies or 0: self.blocks.get(subject.name, [])
                for subject in programs
                if subject.part == "links"
            },
            slow_windows=self.windows,
            placements={
                _words(subject): self.placements[subject.name]
                for subject in programs
                if subject.name in self.placements
            },
        )
        return fit or StoredFailure(kind="preempted", message="no block ran undisturbed")

    def _cost(
        self, operator: OperatorSpec, fit: Fit, restoring: Mapping[str, Mapping[int, float]]
    ) -> Judged | StoredFailure:
        back, effort = way_back(operator), self.plan.settings.effort
        found = cost(
            fit,
            None if back is None else restoring.get(back.name, {}),
            target=effort.target_relative_ci,
            seed=self.plan.settings.seed,
        )
        if isinstance(found, Judged):
            return found
        kind, _, message = found.partition(": ")
        return StoredFailure(kind=kind, message=message)

    def _restoring(self, fits: Mapping[OperatorSpec, Fit]) -> dict[str, dict[int, float]]:
        """What each restoring operator took, by name and pass."""
        alone = {
            subject.name: medians_by_pass(self.blocks.get(subject.name, []), self.windows)
            for operator in fits
            for subject in self.plan.timed(operator)
            if subject.part != "links"
        }
        found: dict[str, dict[int, float]] = {}
        for number in sorted({number for fit in fits.values() for number in fit.passes}):
            seen = [s for o, fit in fits.items() for s in _seen(o, fit, alone, number)]
            backs = {b.pair: b for o in fits for b in _back(o, alone, number)}
            for name, value in restoring_costs(seen, list(backs.values())).items():
                found.setdefault(name, {})[number] = value
        return found


def _words(subject: Subject) -> str:
    """A program in the words of a message."""
    if subject.part == "operator":
        return "the operator alone"
    if subject.part == "restoring":
        return "the restoring operator alone"
    return f"{subject.copies} copies"


Alone = Mapping[str, Mapping[int, float]]


def _seen(operator: OperatorSpec, fit: Fit, alone: Alone, number: int) -> list[Seen]:
    if number not in fit.passes:
        return []
    place, back = fit.passes.index(number), way_back(operator)
    start, end = _shapes(operator)
    return [
        Seen(
            start=start,
            end=end,
            slope_us=float(fit.slopes_us[place]),
            intercept_us=float(fit.intercepts_us[place]),
            alone_us=alone[opened(operator).name].get(number) if back else None,
            pair=back.name if back else None,
        )
    ]


def _back(operator: OperatorSpec, alone: Alone, number: int) -> list[Back]:
    back = way_back(operator)
    if back is None or number not in alone[back.name]:
        return []
    start, end = _shapes(operator)
    return [Back(pair=back.name, start=start, end=end, alone_us=alone[back.name][number])]


def _shapes(operator: OperatorSpec) -> tuple[Shape, Shape]:
    """Of input and output."""
    back = restoring(operator)
    end = operator.input_shape if back is None else back[0].input_shape
    return operator.input_shape, end
