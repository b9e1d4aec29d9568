"""Made-up models of peak memory: their pieces vary, what is said of their making does not."""

from search.table.memory import MemoryModel, MemoryPiece


def memory_model(*pieces: MemoryPiece) -> MemoryModel:
    """A model of these pieces, whose 95 % interval is 4 % to either side."""
    return MemoryModel(
        pieces=pieces,
        runner_kb=8000,
        networks=20,
        relative_residual=0.02,
        interval_factor=2.0,
        cross_validated_mape=0.015,
        method="made up",
    )
