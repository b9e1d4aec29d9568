"""What a journal says of each operator: timed itself, or as a slope over chains."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deploy.artefact import ExportSpec
from deploy.chains.programs import adapter_alone, operator_alone, shape_adapter
from profiler.analysis.blocks import clock_of
from profiler.analysis.judge import Measurement, judge
from profiler.analysis.sentinel import slow_windows
from profiler.analysis.shape_adapters import AdapterTime, ChainLine, Shape, adapter_costs
from profiler.analysis.slopes import ChainFit, cost, fit_chain, medians_by_pass
from profiler.journal import ItemFailure, Journal
from profiler.planning.plan import CampaignPlan
from profiler.settings import CampaignSettings
from search.errors import KitError
from search.operators.spec import OperatorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Judged items by name, operators by key among them, and why others have none.

    `dispatch_us` is the chains' median intercept (None without chains).
    """

    judged: Mapping[str, Measurement]
    failures: Mapping[str, ItemFailure]
    dispatch_us: float | None = None


def judge_journal(plan: CampaignPlan, journal: Journal) -> Measurements:
    """Judge a whole journal."""
    judged, failures = judge_all(journal, plan.settings), journal.failures()
    if not plan.settings.chains:
        return Measurements(judged=judged, failures=failures)
    return _Chains(plan, journal, judged, failures).judge()


def unstable_items(plan: CampaignPlan, journal: Journal) -> set[str]:
    """Operators and networks whose interval is still wider than asked for.

    For chains: an operator's interval is that of its slope, or of the
    difference of two, not those of the programs behind it.
    """
    found = judge_journal(plan, journal)
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
        judged: Mapping[str, Measurement],
        failures: Mapping[str, ItemFailure],
    ) -> None:
        self.plan, self.judged, self.failures = plan, judged, failures
        self.blocks, self.placements = journal.blocks(), journal.placements()
        self.windows = slow_windows(*journal.sentinels())

    def judge(self) -> Measurements:
        judged, failures = dict(self.judged), dict(self.failures)
        fits = {operator: self._fit(operator) for operator in self.plan.operators}
        sound = {o: f for o, f in fits.items() if isinstance(f, ChainFit) and f.reason is None}
        adapter_times = self._restoring(sound)
        for operator, fit in fits.items():
            found = self._cost(operator, fit, adapter_times) if isinstance(fit, ChainFit) else fit
            if isinstance(found, Measurement):
                judged[operator.key] = found
            else:
                failures[operator.key] = found
        intercepts = [float(np.mean(fit.intercepts_us)) for fit in sound.values()]
        return Measurements(
            judged=judged,
            failures=failures,
            dispatch_us=float(np.median(intercepts)) if intercepts else None,
        )

    def _fit(self, operator: OperatorSpec) -> ChainFit | ItemFailure:
        try:
            programs = self.plan.timed(operator)
            shape_adapter(operator)
        except KitError as error:
            return ItemFailure(kind="export", message=error.message)
        for subject in programs:
            failure = self.failures.get(subject.name)
            if failure is not None:
                text = f"{_words(subject)}: {failure.message}"
                return ItemFailure(kind=failure.kind, message=text)
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
        return fit or ItemFailure(kind="preempted", message="no block ran undisturbed")

    def _cost(
        self,
        operator: OperatorSpec,
        fit: ChainFit,
        adapter_times: Mapping[str, Mapping[int, float]],
    ) -> Measurement | ItemFailure:
        back, effort = adapter_alone(operator), self.plan.settings.effort
        found = cost(
            fit,
            None if back is None else adapter_times.get(back.name, {}),
            target=effort.target_relative_ci,
            seed=self.plan.settings.seed,
        )
        if isinstance(found, Measurement):
            return found
        kind, _, message = found.partition(": ")
        return ItemFailure(kind=kind, message=message)

    def _restoring(self, fits: Mapping[OperatorSpec, ChainFit]) -> dict[str, dict[int, float]]:
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
            for name, value in adapter_costs(seen, list(backs.values())).items():
                found.setdefault(name, {})[number] = value
        return found


def _words(subject: ExportSpec) -> str:
    """A program in the words of a message."""
    if subject.part == "operator":
        return "the operator alone"
    if subject.part == "restoring":
        return "the restoring operator alone"
    return f"{subject.copies} copies"


Alone = Mapping[str, Mapping[int, float]]


def _seen(operator: OperatorSpec, fit: ChainFit, alone: Alone, number: int) -> list[ChainLine]:
    if number not in fit.passes:
        return []
    place, back = fit.passes.index(number), adapter_alone(operator)
    start, end = _shapes(operator)
    return [
        ChainLine(
            start=start,
            end=end,
            slope_us=float(fit.slopes_us[place]),
            intercept_us=float(fit.intercepts_us[place]),
            alone_us=alone[operator_alone(operator).name].get(number) if back else None,
            pair=back.name if back else None,
        )
    ]


def _back(operator: OperatorSpec, alone: Alone, number: int) -> list[AdapterTime]:
    back = adapter_alone(operator)
    if back is None or number not in alone[back.name]:
        return []
    start, end = _shapes(operator)
    return [AdapterTime(pair=back.name, start=start, end=end, alone_us=alone[back.name][number])]


def _shapes(operator: OperatorSpec) -> tuple[Shape, Shape]:
    """Of input and output."""
    back = shape_adapter(operator)
    end = operator.input_shape if back is None else back[0].input_shape
    return operator.input_shape, end


def judge_all(journal: Journal, settings: CampaignSettings) -> dict[str, Measurement]:
    """Judge every item of a journal by the same windows of slowness and the same clock."""
    windows = slow_windows(*journal.sentinels())
    every = journal.blocks()
    clock = clock_of(itertools.chain.from_iterable(every.values()))
    found = {
        name: judge(
            blocks,
            target=settings.effort.target_relative_ci,
            seed=settings.seed,
            slow_windows=windows,
            clock_khz=clock.median_khz if clock else None,
        )
        for name, blocks in every.items()
    }
    return {name: judged for name, judged in found.items() if judged is not None}
