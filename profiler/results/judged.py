"""Measurements of a journal's items: timed themselves, or as slopes over chains."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from deploy.artefact import ExportSpec
from deploy.chains.programs import adapter_alone, operator_alone, shape_adapter
from profiler.analysis.judge import Measurement, judge
from profiler.analysis.shape_adapters import AdapterTime, ChainLine, Shape, adapter_costs
from profiler.analysis.slopes import ChainFit, cost, fit_chain, medians_by_pass
from profiler.analysis.timeline import Timeline, make_timeline
from profiler.journal import ItemFailure, Journal
from profiler.planning.plan import CampaignPlan
from profiler.settings import CampaignSettings
from search.errors import KitError
from search.operators.spec import OperatorSpec

# Microseconds of programs by name and pass.
TimesByPass = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Judged items by name, operators by key among them, and why others have none.

    `dispatch_us` is the chains' median intercept (None without chains).
    """

    by_name: Mapping[str, Measurement]
    failures: Mapping[str, ItemFailure]
    timeline: Timeline
    dispatch_us: float | None = None

    def sensitivity(self, name: str) -> float | None:
        """The share by which an item follows the machine's state; None where it is not known."""
        state = self.timeline.state
        return None if state is None else state.sensitivity.get(name)

    def unstable(self, names: Iterable[str]) -> set[str]:
        """Those without a measurement, or with a wider interval than asked for; failed ones not."""
        return {
            name
            for name in names
            if name not in self.failures
            and (name not in self.by_name or not self.by_name[name].stable)
        }


def judge_journal(plan: CampaignPlan, journal: Journal) -> Measurements:
    """Judge a whole campaign."""
    measurements = judge_items(journal, plan.settings)
    if not plan.settings.chains:
        return measurements
    return _Chains(plan, journal, measurements).judge()


def judge_items(journal: Journal, settings: CampaignSettings) -> Measurements:
    """Judge every item by itself, all at the machine's mean state and at the same clock."""
    timeline = make_timeline(
        journal.blocks(), *journal.sentinels(), sustained=settings.sustain_s is not None
    )
    judged = {
        name: judge(
            blocks,
            target=settings.effort.target_relative_ci,
            seed=settings.seed,
            slow_windows=timeline.slow,
            clock_khz=timeline.clock_khz,
        )
        for name, blocks in timeline.blocks.items()
    }
    return Measurements(
        by_name={name: value for name, value in judged.items() if value is not None},
        failures=journal.failures(),
        timeline=timeline,
    )


def unstable_networks(names: Iterable[str], journal: Journal, settings: CampaignSettings) -> str:
    """How many networks timed without a campaign have a wider interval than asked for, in words."""
    unstable = judge_items(journal, settings).unstable(names)
    return f"{len(unstable)} not yet stable" if unstable else ""


class _Chains:
    """Fits all chains of a journal."""

    def __init__(self, plan: CampaignPlan, journal: Journal, programs: Measurements) -> None:
        self.plan, self.programs = plan, programs
        self.blocks, self.placements = programs.timeline.blocks, journal.placements()
        self.windows = programs.timeline.slow
        self.share_us = self._share_us()

    def _share_us(self) -> float:
        """What an operator takes of a network on average, microseconds; 0 without networks."""
        shares = [
            self.programs.by_name[network.name].centre_us / len(network.operators)
            for network in self.plan.networks
            if network.name in self.programs.by_name
        ]
        return float(np.median(shares)) if shares else 0.0

    def judge(self) -> Measurements:
        by_name, failures = dict(self.programs.by_name), dict(self.programs.failures)
        fits = {operator: self._fit(operator) for operator in self.plan.operators}
        sound = {o: f for o, f in fits.items() if isinstance(f, ChainFit) and f.reason is None}
        adapters_us = self._adapters_us(sound)
        for operator, fit in fits.items():
            result = self._cost(operator, fit, adapters_us) if isinstance(fit, ChainFit) else fit
            if isinstance(result, Measurement):
                by_name[operator.key] = result
            else:
                failures[operator.key] = result
        intercepts = [float(np.mean(fit.intercepts_us)) for fit in sound.values()]
        return Measurements(
            by_name=by_name,
            failures=failures,
            timeline=self.programs.timeline,
            dispatch_us=float(np.median(intercepts)) if intercepts else None,
        )

    def _fit(self, operator: OperatorSpec) -> ChainFit | ItemFailure:
        try:
            programs = self.plan.timed(operator)
            shape_adapter(operator)
        except KitError as error:
            return ItemFailure(kind="export", message=error.message)
        for program in programs:
            failure = self.programs.failures.get(program.name)
            if failure is not None:
                message = f"{_program_text(program)}: {failure.message}"
                return ItemFailure(kind=failure.kind, message=message)
        fit = fit_chain(
            {
                program.copies or 0: self.blocks.get(program.name, [])
                for program in programs
                if program.part == "links"
            },
            slow_windows=self.windows,
            placements={
                _program_text(program): self.placements[program.name]
                for program in programs
                if program.name in self.placements
            },
        )
        return fit or ItemFailure(kind="preempted", message="no block ran undisturbed")

    def _cost(
        self, operator: OperatorSpec, fit: ChainFit, adapters_us: TimesByPass
    ) -> Measurement | ItemFailure:
        adapter, settings = adapter_alone(operator), self.plan.settings
        result = cost(
            fit,
            None if adapter is None else adapters_us.get(adapter.name, {}),
            target=settings.effort.target_relative_ci,
            seed=settings.seed,
            share_us=self.share_us,
        )
        if isinstance(result, Measurement):
            return result
        kind, _, message = result.partition(": ")
        return ItemFailure(kind=kind, message=message)

    def _adapters_us(self, fits: Mapping[OperatorSpec, ChainFit]) -> dict[str, dict[int, float]]:
        """What each restoring operator took, in microseconds, by name and pass."""
        alone_us = {
            program.name: medians_by_pass(self.blocks.get(program.name, []), self.windows)
            for operator in fits
            for program in self.plan.timed(operator)
            if program.part != "links"
        }
        costs_us: dict[str, dict[int, float]] = {}
        for number in sorted({number for fit in fits.values() for number in fit.passes}):
            lines = [
                line
                for operator, fit in fits.items()
                for line in _chain_lines(operator, fit, alone_us, number)
            ]
            adapters = {
                adapter.name: adapter
                for operator in fits
                for adapter in _adapter_times(operator, alone_us, number)
            }
            for name, value in adapter_costs(lines, list(adapters.values())).items():
                costs_us.setdefault(name, {})[number] = value
        return costs_us


def _program_text(program: ExportSpec) -> str:
    """A program as messages name it."""
    if program.part == "operator":
        return "the operator alone"
    if program.part == "restoring":
        return "the restoring operator alone"
    return f"{program.copies} copies"


def _chain_lines(
    operator: OperatorSpec, fit: ChainFit, alone_us: TimesByPass, number: int
) -> list[ChainLine]:
    """The operator's line in pass `number`; none if its chains were not fitted there."""
    if number not in fit.passes:
        return []
    index, adapter = fit.passes.index(number), adapter_alone(operator)
    start, end = _shapes(operator)
    return [
        ChainLine(
            start=start,
            end=end,
            slope_us=float(fit.slopes_us[index]),
            intercept_us=float(fit.intercepts_us[index]),
            alone_us=alone_us[operator_alone(operator).name].get(number) if adapter else None,
            adapter=adapter.name if adapter else None,
        )
    ]


def _adapter_times(operator: OperatorSpec, alone_us: TimesByPass, number: int) -> list[AdapterTime]:
    """The operator's adapter alone in pass `number`; none if it has none or no block."""
    adapter = adapter_alone(operator)
    if adapter is None or number not in alone_us[adapter.name]:
        return []
    start, end = _shapes(operator)
    time_us = alone_us[adapter.name][number]
    return [AdapterTime(name=adapter.name, start=start, end=end, alone_us=time_us)]


def _shapes(operator: OperatorSpec) -> tuple[Shape, Shape]:
    """Of input and output."""
    adapter = shape_adapter(operator)
    end = operator.input_shape if adapter is None else adapter[0].input_shape
    return operator.input_shape, end
