"""Output of the search's verbs: human-readable, JSON or CSV."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, JustifyMethod
from rich.table import Table as Grid

from search.console.output import emit
from search.costs.base import LATENCY
from search.pipeline.problem import TARGET_UTILISATION
from search.pipeline.result import CandidateRow, SearchResult

if TYPE_CHECKING:  # they import torch, which help does not need
    from search.pipeline.networks.evaluate import EvaluateOutput
    from search.pipeline.networks.train_all import TrainAllOutput, Trained
    from search.pipeline.run import SearchOutput
    from search.pipeline.train import TrainOutput

Row = Mapping[str, object]
_SHOWN = 10


def show_search(output: "SearchOutput", output_format: str) -> None:
    """Print the chosen network and the others that were considered."""
    result, test = output.result, output.test
    rows = _candidate_rows(result.candidates)
    trained = {} if test is None else {"test_top1": test.top1, "weights": str(output.weights)}

    def table(console: Console) -> None:
        console.print(grid_of(rows[:_SHOWN]))
        if len(rows) > _SHOWN:
            print(f"({_SHOWN} of {len(rows)} candidates)")
        for line in _summary(result):
            print("\n".join(_hanging(line)))
        print(f"written to {output.architecture}")
        if test is not None:
            accuracy = f"top-1 {test.top1:.2%} on {test.images} test images"
            print(f"trained    {accuracy}, {output.weights}")
            if output.best_epoch is not None:
                print(f"           {_chosen_by_test(output.best_epoch)}")

    emit(
        output_format,
        table=table,
        content=lambda: {**result.model_dump(mode="json"), **trained},
        rows=lambda: rows,
    )


def _summary(result: SearchResult) -> Iterator[str]:
    """The chosen network, in lines that a narrow terminal may fold and a pipe does not."""
    chosen = result.chosen
    yield f"chosen     {chosen.origin}: {' '.join(chosen.choices)}"
    if result.candidates[0].meets_target and chosen != result.candidates[0]:
        share = f"{TARGET_UTILISATION:.0%} to 100%"
        yield f"           the best of those that use {share} of the target"
    target = "no target" if result.target_us is None else _target(result.target_us)
    if result.cost != LATENCY:
        most = "no target" if result.most is None else f"target {result.most / 1e6:.4g}M"
        cost = {
            "flops": chosen.flops,
            "params": chosen.params,
            "memory": chosen.memory_bytes or 0,
        }[result.cost]
        target = "not searched for"
        yield f"{result.cost:<10} {cost / 1e6:.4g}M, {most}"
    certainty = "" if result.probability is None else f" met with {chosen.probability:.1%}"
    if chosen.predicted_us is None or chosen.low_us is None or chosen.high_us is None:
        yield "latency    unknown: no table was given"
    else:
        yield (
            f"latency    {_ms(chosen.predicted_us)} predicted "
            f"[{_ms(chosen.low_us)}, {_ms(chosen.high_us)}], {target}{certainty}, by {result.table}"
        )
    if result.batch != 1 and chosen.predicted_us is not None:
        rate = result.batch / chosen.predicted_us * 1e6
        yield f"throughput {rate:.0f} images/s, {result.batch} images a call"
    if (truth := result.truth) is not None:
        regret = f"{100 * truth.regret:.2f} points"
        best = f"below the best of {truth.networks} networks within the limits"
        yield f"truth      {truth.accuracy:.2%} by {truth.benchmark}, {regret} {best}"
    if chosen.peak_memory_mb is not None:
        yield (
            f"memory     {chosen.peak_memory_mb:.2f} MB of its own at the peak, predicted "
            f"[{chosen.peak_memory_low_mb:.2f}, {chosen.peak_memory_high_mb:.2f}]"
        )
    for row in chosen.limits:
        yield f"limit      {row.limit}: {row.share:.1%} of it used"
    if result.target_used is not None and result.target_used < TARGET_UTILISATION:
        yield f"target     does not bind: the network uses {result.target_used:.0%} of it"
    if result.priced_classes is not None:
        priced = f"the table prices a classifier of {result.priced_classes}"
        yield f"classes    {result.classes}; {priced}, so latencies are those of that network"
    failures = [candidate.failed for candidate in result.candidates if candidate.failed]
    if failures:
        share = f"{len(failures)} of {len(result.candidates)} trials"
        yield f"failed     {share}; the first: {failures[0]}"
    if result.wide_rows:
        used = ", ".join(result.wide_rows_used) or "none"
        wide = f"{result.wide_rows} rows of the table are wider than was asked for"
        yield f"wide       {wide}; the network holds {used} of them, and its interval covers that"
    if result.waivers:
        yield f"waived     {' '.join(result.waivers)}"
    yield f"took       {result.seconds:.0f} s on {result.data}"


def _hanging(line: str) -> list[str]:
    """A line of the summary in 80 columns, under its first word's text; words stay whole."""
    return textwrap.wrap(
        line, 80, subsequent_indent=" " * 11, break_long_words=False, break_on_hyphens=False
    )


def _target(target_us: float) -> str:
    """A latency target; predictions are those of the machine as it was for the table."""
    return f"target {_ms(target_us)} at the state of the table"


def _candidate_rows(candidates: Sequence[CandidateRow]) -> list[dict[str, object]]:
    """Rows with an accuracy, or with a score where they have those."""
    scored = any(candidate.score is not None for candidate in candidates)
    return [_candidate_row(candidate, scored=scored) for candidate in candidates]


def _candidate_row(candidate: CandidateRow, *, scored: bool) -> dict[str, object]:
    accuracy, score = candidate.accuracy, candidate.score
    percent = None if accuracy is None else round(100 * accuracy, 2)
    quality = {"accuracy_percent": percent}
    if scored:
        quality = {"score": None if score is None else float(f"{score:.7g}")}
    return {
        "origin": candidate.origin,
        **quality,
        "predicted_ms": candidate.predicted_us and round(candidate.predicted_us / 1000, 6),
        "meets_target": candidate.meets_target,
        "mflops": round(candidate.flops / 1e6, 2),
        "params_k": round(candidate.params / 1e3, 1),
    }


def show_trained(output: "TrainOutput", output_format: str) -> None:
    """Print the accuracy of a trained network."""
    name, test = output.network.name, output.test
    row: dict[str, object] = {
        "network": name,
        "top1": round(test.top1, 6),
        "top5": round(test.top5, 6),
        "images": test.images,
        "weights": str(output.weights),
        "architecture": None if output.architecture is None else str(output.architecture),
        "best_epoch": output.best_epoch,
    }

    def table(_: Console) -> None:
        print(f"{name}: top-1 {test.top1:.2%} on {test.images} test images")
        if output.best_epoch is not None:
            print(_chosen_by_test(output.best_epoch))
        print(f"written to {output.weights}")
        if output.architecture is not None:
            print(f"network    {output.architecture}, with {output.network.classes} classes")

    emit(output_format, table=table, content=lambda: row, rows=lambda: [row])


def _chosen_by_test(epoch: int) -> str:
    return f"weights of epoch {epoch}, which these images chose: a little too good"


def show_trained_all(output: "TrainAllOutput", output_format: str) -> None:
    """Print all networks of a folder by their accuracy, and the files of the best."""
    rows = [_trained_row(one, chosen=number == 0) for number, one in enumerate(output.trained)]
    test = output.test

    def table(console: Console) -> None:
        console.print(grid_of(rows))
        failures = [one for one in output.trained if one.failed]
        if failures:
            print(f"failed     {len(failures)}; the first: {failures[0].failed}")
        accuracy = f"top-1 {test.top1:.2%} on {test.images} test images"
        print(f"chosen     {output.trained[0].file}: {accuracy}")
        print(f"written to {output.weights}, {output.architecture}")

    emit(
        output_format,
        table=table,
        content=lambda: {
            "networks": rows,
            "test_top1": round(test.top1, 6),
            "test_images": test.images,
            "weights": str(output.weights),
            "architecture": str(output.architecture),
        },
        rows=lambda: rows,
    )


def _trained_row(one: "Trained", *, chosen: bool) -> Row:
    found = one.accuracy
    low, high = (None, None) if found is None else found.top1_interval
    return {
        "network": one.file,
        "accuracy_percent": None if found is None else round(100 * found.top1, 2),
        "low_percent": None if low is None else round(100 * low, 2),
        "high_percent": None if high is None else round(100 * high, 2),
        "mflops": round(one.network.flops / 1e6, 2),
        "params_k": round(one.network.params / 1e3, 1),
        "chosen": chosen,
    }


def show_evaluation(output: "EvaluateOutput", output_format: str) -> None:
    """Print the accuracy of given weights, with its intervals."""
    judged, network = output.accuracy, output.network
    row: dict[str, object] = {
        "network": network.name,
        **_share("top1", judged.top1, judged.top1_interval),
        **_share("top5", judged.top5, judged.top5_interval),
        "loss": round(judged.loss, 6),
        "images": judged.images,
        "split": output.split,
        "classes": network.classes,
        "weights": str(output.weights),
        "layout": output.layout,
        "output": None if output.output is None else str(output.output),
    }

    def table(_: Console) -> None:
        print(f"{network.name}: {network.classes} classes of {output.data}, {output.split} images")
        print(f"  top-1  {_percent(judged.top1, judged.top1_interval)}")
        print(f"  top-5  {_percent(judged.top5, judged.top5_interval)}")
        print(f"  loss   {judged.loss:.4f} on {judged.images:,} images")
        if output.output is not None:
            print(f"written to {output.output}, {output.output.with_suffix('.json')}")

    emit(output_format, table=table, content=lambda: row, rows=lambda: [row])


def _share(name: str, value: float, interval: tuple[float, float]) -> Row:
    low, high = interval
    return {name: round(value, 6), f"{name}_low": round(low, 6), f"{name}_high": round(high, 6)}


def _percent(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2%} [{interval[0]:.2%}, {interval[1]:.2%}]"


def grid_of(rows: Sequence[Row], left: Sequence[str] = ()) -> Grid:
    """Rows of equal columns as a rich table; columns without any value are left out.

    Numbers stand at the right, the first column and those of `left` at the left.
    """
    grid = Grid(box=None, pad_edge=False)
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)] if rows else []
    for number, name in enumerate(names):
        # A title on two lines keeps ten columns within 80 characters.
        title = name.replace("_percent", " %").replace("_", "\n", 1)
        justify: JustifyMethod = "left" if number == 0 or name in left else "right"
        grid.add_column(title, justify=justify, overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(row[name]) for name in names))
    return grid


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _ms(us: float) -> str:
    return f"{us / 1000:.4g} ms"
