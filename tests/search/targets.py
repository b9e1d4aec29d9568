"""Targets of searches in tests."""

from search.costs.base import CostTarget, Unit


def latency_target(target_us: float | None) -> CostTarget | None:
    return None if target_us is None else CostTarget(value=target_us, unit=Unit.US)
