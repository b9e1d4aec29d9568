"""Result files of a search and of a front."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from search.files import write_text
from search.table.values import Finite, Share


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LimitRow(_Part):
    """A limit as it was asked for (`--most`), and the share of it that a network uses."""

    limit: str
    share: Finite


class TruthRow(_Part):
    """What a benchmark knows of the network found, and of the best within the same limits.

    Accuracies and regret are shares; `networks` is how many keep to the limits.
    """

    benchmark: str
    accuracy: Share
    best: Share
    regret: Share
    networks: int


class CandidateRow(_Part):
    """One candidate of a search in numbers.

    `accuracy` was measured on images that trained no weight, with the
    weights named by `scored_by`; it ranks candidates and is not a final accuracy. `score` is
    that of `zero-cost`, higher is better, which `scored_by` names.
    Latencies are None without a table. `probability` is that of meeting the target,
    by the table's intervals;
    `meets_target` means as surely as was asked, or on average. `failed` is the
    reason why its trial gave no accuracy. `peak_memory_mb` is the network's own resident memory
    at its peak, by a table that tells it, with its 95 % interval.
    """

    origin: str
    choices: tuple[str, ...]
    predicted_us: Finite | None
    low_us: Finite | None
    high_us: Finite | None
    meets_target: bool
    probability: Share | None = None
    log_probability: Finite | None = None
    accuracy: Share | None = None
    score: Finite | None = None
    scored_by: str | None = None
    failed: str | None = None
    flops: int
    params: int
    memory_bytes: int | None = None
    peak_memory_mb: Finite | None = None
    peak_memory_low_mb: Finite | None = None
    peak_memory_high_mb: Finite | None = None
    limits: tuple[LimitRow, ...] = ()


class TrainedRow(_Part):
    """Accuracy of the network found on the test images, after training from scratch.

    `top1_low` and `top1_high` are Wilson's 95 % interval; `weights` is the file.
    """

    top1: Share
    top1_low: Share
    top1_high: Share
    top5: Share
    images: int
    weights: str


class SearchResult(_Part):
    """Everything that a reader needs in order to check or repeat a search.

    `cost` is what was weighed: latency, with its target `target_us`; or flops,
    params or memory (bytes), with `most` of them. `seconds` is over all parts of a resumed
    run, each up to its last saved state. `wide_rows` counts the table's rows that are
    wider than was asked for; `wide_rows_used` are those that the network holds. Without
    a table, `table_source` is "none". A call, and so a latency, is of `batch` images.
    `classes` is how many the network tells apart;
    `target_used` is the share of the target that the network takes, `trained` its accuracy
    where it was trained.
    `priced_classes` is stated where the table prices it with a classifier of other classes.
    """

    schema_version: Literal[1] = 1
    architecture: str
    algorithm: str
    chosen: CandidateRow
    candidates: tuple[CandidateRow, ...]
    cost: str = "latency"
    target_us: float | None
    most: float | None = None
    target_used: Finite | None = None
    probability: float | None
    table_id: str
    table: str
    device: str
    table_source: str
    space: str
    data: str
    recipe: dict[str, object]
    seed: int
    seconds: float
    waivers: tuple[str, ...] = ()
    classes: int | None = None
    batch: int = 1
    priced_classes: int | None = None
    trained: TrainedRow | None = None
    truth: TruthRow | None = None
    wide_rows: int = 0
    wide_rows_used: tuple[str, ...] = ()
    command: str = ""


class FrontResult(_Part):
    """Networks along a front, as rows that are printed, and what they rest on."""

    schema_version: Literal[1] = 1
    networks: tuple[dict[str, object], ...]
    scores: str
    table_id: str
    table: str
    device: str
    table_source: str
    space: str
    limits: tuple[str, ...] = ()
    waivers: tuple[str, ...] = ()


def write_result(result: SearchResult | FrontResult, path: Path) -> None:
    """Write the file atomically."""
    write_text(path, result.model_dump_json(indent=1) + "\n")
