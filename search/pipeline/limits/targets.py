"""One problem for each of several targets of `front` and `specialise`, of any cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from search.costs.base import LATENCY, CostTarget, Unit
from search.errors import UsageError
from search.pipeline.limits.most import with_limits
from search.pipeline.problem import TARGET_OPTIONS, SearchProblem, check_target, weigh


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTargets:
    """Targets as typed, in milliseconds or in millions, and limits beside each of them."""

    cost: str = LATENCY
    targets_ms: Sequence[float] | None = None
    targets_mflops: Sequence[float] | None = None
    targets_mparams: Sequence[float] | None = None
    targets_mb: Sequence[float] | None = None
    most: Sequence[str] | None = None

    @property
    def values(self) -> Sequence[float]:
        """The targets of the cost that is weighed.

        Raises:
            UsageError: Targets of another cost.
        """
        given = {
            LATENCY: self.targets_ms,
            "flops": self.targets_mflops,
            "params": self.targets_mparams,
            "memory": self.targets_mb,
        }
        for cost, values in given.items():
            if values and cost != self.cost:
                raise UsageError(
                    f"{TARGET_OPTIONS[cost]} is no target of --cost {self.cost}.",
                    f"Give --cost {cost}.",
                )
        return given.get(self.cost) or ()

    def only(self, value: float) -> "TypedTargets":
        """The same with this target alone."""
        return TypedTargets(
            cost=self.cost,
            targets_ms=self.targets_ms and (value,),
            targets_mflops=self.targets_mflops and (value,),
            targets_mparams=self.targets_mparams and (value,),
            targets_mb=self.targets_mb and (value,),
            most=self.most,
        )


def problems_of(problem: SearchProblem, typed: TypedTargets) -> list[SearchProblem]:
    """The problem with each target in turn; the problem alone where there is none.

    Args:
        problem: Without a target.
        typed: As typed.

    Raises:
        UsageError: An unknown cost, targets of another one, or what no network keeps to.
    """
    values = typed.values
    if not values:
        return [with_limits(weigh(problem, typed.cost), typed.most or ())]
    return [with_limits(_with_target(problem, typed.cost, one), typed.most or ()) for one in values]


def _with_target(problem: SearchProblem, cost: str, value: float) -> SearchProblem:
    if cost == LATENCY and problem.priced is not None:
        check_target(value * 1000, problem.costs, problem.table)
        return replace(problem, target=CostTarget(value=value * 1000, unit=Unit.US))
    option = TARGET_OPTIONS.get(cost, "").removeprefix("--").replace("-", "_")
    return weigh(problem, cost, **({option: value} if option else {}))
