"""The latency model of a table: what a network costs, by its operators and by their neighbours."""

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from search.table.values import Count, Finite, NotNegative

# What a calibration may multiply; `search.latency.model` computes them from a row.
FEATURE_NAMES = frozenset(
    ("steady_us", "first_extra_us", "in_network_us", "operators", "weight_mb", "moved_mb")
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PairEffect(_Part):
    """What two layers, one after the other, cost beside what each costs; microseconds.

    Where the second one reads images of `height`, the first has the expansion `first` and
    the second `second`: 0 without middle channels, null where nothing is built (a skip).
    Neighbours that both spread a large image over many channels share the memory that
    they warm up, so together they cost less than apart.
    """

    height: Count
    first: Count | None
    second: Count | None
    effect_us: Finite

    @property
    def key(self) -> tuple[int, int | None, int | None]:
        """The image rows and both expansions: no two effects of a table share them."""
        return self.height, self.first, self.second


class Calibration(_Part):
    """Network latency = intercept + sum over operators of slopes . features + sum of pair effects.

    `features` names columns of an operator (`search.latency.model.FEATURES`);
    `covariance` is that of (intercept, *slopes). `relative_residual` is the
    cross-validated relative error (root mean square) of one network, the
    noise of the operators' rows included; an interval reaches
    `interval_factor` (Student's t) standard deviations to either side. `pairs` are the effects of
    neighbouring layers (`search.latency.pairs`); none is listed where they add nothing.

    Raises:
        ValueError: Features, slopes and covariance do not fit each other.
    """

    features: tuple[str, ...]
    slopes: tuple[Finite, ...]
    intercept_us: Finite
    covariance: tuple[tuple[Finite, ...], ...]
    networks: Count
    relative_residual: NotNegative
    interval_factor: NotNegative
    cross_validated_mape: NotNegative
    raw_sum_mape: NotNegative
    method: str
    pairs: tuple[PairEffect, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        size = len(self.features)
        if not size or len(set(self.features)) != size:
            raise ValueError("a model needs features, each of them once")
        if unknown := set(self.features) - FEATURE_NAMES:
            raise ValueError(f"no operator has the feature {min(unknown)!r:.40}")
        if len(self.slopes) != size:
            raise ValueError(f"{size} features have {len(self.slopes)} slopes")
        if [len(row) for row in self.covariance] != [size + 1] * (size + 1):
            raise ValueError(f"the covariance of {size} slopes is not of {size + 1} x {size + 1}")
        if len({pair.key for pair in self.pairs}) != len(self.pairs):
            raise ValueError("a pair of layers has two effects")
        return self
