"""Peak memory of networks in a table: its model, and how well that foretold other networks.

The memory is a network's own: what the runner's resident memory rises by, at its peak, while it
loads the network and calls it once in a fresh process. What the runner takes without a network is
stated beside it (`runner_kb`): it is the runtime's, and another program that runs the network
has its own.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from search.table.values import Finite, NotNegative, PositiveCount, Share


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MemoryPiece(_Part):
    """Bytes that a network's own memory reaches in one phase, loading or running.

        bytes = intercept + weights x W + chained x C + live x L

    with W the bytes of all weights, C the sum over operators of `chained_bytes`, and L the most
    of `live_bytes` of any operator (`search.operators.activations`). No coefficient is below 0.
    """

    intercept_bytes: Finite
    weights: NotNegative
    chained: NotNegative = 0.0
    live: NotNegative = 0.0


class MemoryExam(_Part):
    """Networks that no coefficient was fitted to: predicted peak memory against the measured one.

    Errors are relative to a network's own memory, `mape_with_runner` to that and the runner's.
    """

    networks: PositiveCount
    mape: NotNegative
    max_relative_error: NotNegative
    mape_with_runner: NotNegative
    interval_coverage: Share


class MemoryModel(_Part):
    """Peak memory of a network: the largest of the `pieces`.

    `relative_residual` is the relative error (root mean square) of networks left out of the fit;
    an interval reaches `interval_factor` (Student's t) of them to either side.
    """

    pieces: Annotated[tuple[MemoryPiece, ...], Field(min_length=1, max_length=4)]
    runner_kb: PositiveCount
    networks: PositiveCount
    relative_residual: NotNegative
    interval_factor: NotNegative
    cross_validated_mape: NotNegative
    method: str
    exam: MemoryExam | None = None

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if not any(piece.weights or piece.chained or piece.live for piece in self.pieces):
            raise ValueError("no piece of the memory model depends on the network")
        return self
