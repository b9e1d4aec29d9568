"""What one run of a sweep found, read from the files that its search wrote."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from search.costs.base import LATENCY
from search.data.preprocessing import read_preparation
from search.documents import read_text, validate_json
from search.errors import KitError
from search.pipeline.result import SearchResult

NET, RESULT, WEIGHTS, FAILED = "net.json", "net.result.json", "net.pt", "failed.txt"
_RESULT = TypeAdapter(SearchResult)
_UNITS = {"flops": "mflops", "params": "mparams", "memory": "mb"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Numbers of a finished search, or why it failed.

    Attributes:
        seed: Of the run.
        accuracy: Share of images: of the test images after training where the network
            was trained, otherwise of images held back, with shared weights.
        cost: In the unit that `cost_name` names: predicted_ms, mflops, mparams or mb.
        failed: The last words of a search that failed.
    """

    seed: int
    accuracy: float | None = None
    cost: float | None = None
    cost_name: str = ""
    network: str = ""
    seconds: float = 0.0
    failed: str = ""


def read_outcome(folder: Path, seed: int, *, retrained: bool) -> Outcome | None:
    """The outcome of a run; None where it has not finished.

    Args:
        folder: Of the run.
        seed: Of the run.
        retrained: Whether its network was to be trained too.
    """
    if (folder / FAILED).exists():
        return Outcome(seed=seed, failed=read_text(folder / FAILED).strip())
    try:
        result = validate_json(read_text(folder / RESULT), _RESULT)
        note = read_preparation(folder / WEIGHTS) if retrained else None
    except (KitError, ValueError):
        return None
    if retrained and note is None:
        return None
    chosen = result.chosen
    name, cost = _cost(result)
    return Outcome(
        seed=seed,
        accuracy=chosen.accuracy if note is None else note.test_top1,
        cost=cost,
        cost_name=name,
        network=" ".join(chosen.choices),
        seconds=result.seconds,
    )


def _cost(result: SearchResult) -> tuple[str, float | None]:
    """The cost that was weighed; FLOPs where a latency has no table."""
    chosen = result.chosen
    if result.cost == LATENCY and chosen.predicted_us is not None:
        return "predicted_ms", chosen.predicted_us / 1000
    counted = {
        "params": chosen.params,
        "memory": chosen.memory_bytes,
    }.get(result.cost, chosen.flops)
    return _UNITS.get(result.cost, "mflops"), None if counted is None else counted / 1e6
