"""What is damaged: a whole table, and one file of every other kind that the kit reads."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from search.architecture import write_architecture
from search.selection.scores import Scores, write_scores
from search.spaces.registry import make_space
from search.table.store import Table
from tests.hostile.watchdog import Ended, run
from tests.profiler.conftest import Bench, bench_at, measured

__all__ = ["bench_at", "measured"]

SPACE = make_space("fbnet-mini")
Commands = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Material:
    """A folder with one whole file of each kind."""

    folder: Path
    table: Path

    def path(self, name: str) -> str:
        """A file of the folder."""
        return str(self.folder / name)


@pytest.fixture(scope="session")
def material(
    measured: Table,
    tmp_path_factory: pytest.TempPathFactory,
    bench_at: Callable[[Path], AbstractContextManager[Bench]],
) -> Iterator[Material]:
    """Whole files; the cache is one of its own."""
    folder = tmp_path_factory.mktemp("hostile")
    assert measured.path is not None
    shutil.copytree(measured.path.parent.parent, folder / "tables")
    table = folder / "tables" / measured.path.parent.name / measured.path.name
    network = SPACE.random_architecture(random.Random(0), "net")
    write_architecture(network, folder / "net.json")
    widths = [len(layer.choices) for layer in SPACE.layers]
    values = np.full((len(widths), max(widths)), -np.inf)
    for layer, width in enumerate(widths):
        values[layer, :width] = np.arange(width)
    scores = Scores(values=values, space=SPACE.spec, origin="made up")
    write_scores(scores, folder / "scores.json")
    with bench_at(folder), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield Material(folder, table)


def table_commands(material: Material, table: Path) -> Commands:
    """Every command that reads a table, by a name; they read this one."""
    t, whole = str(table), str(material.table)
    net, scores = material.path("net.json"), material.path("scores.json")
    waived = ("--allow-simulated", "--allow-unexamined")
    simulated = ("--device", "simulated")
    of_space = ("profiler", *simulated, "--space", "fbnet-mini", "--dry-run")
    page = material.path("page.html")
    return {
        "show": ("profiler", "show", t, "--all"),
        "show as JSON": ("profiler", "show", t, "--format", "json"),
        "show as CSV": ("profiler", "show", t, "--format", "csv"),
        "validate": ("profiler", "validate", t, "--format", "json"),
        "diff with": ("profiler", "diff", whole, t),
        "diff of": ("profiler", "diff", t, whole, "--format", "json"),
        "compare": ("profiler", "compare", net, "--table", t),
        "compare all": ("profiler", "compare", net, "--tables", str(table.parent.parent)),
        "export csv": ("profiler", "export", "csv", t),
        "refine": ("profiler", "refine", t, "--from", net, "--dry-run", *simulated),
        "from": (*of_space, "--max-operators", "20", "--from-table", t),
        "checkup": ("profiler", "checkup", *simulated, "--table", t),
        "front": ("search", "front", "--table", t, "--scores", scores, *waived),
        "search": ("search", "--table", t, "--target-ms", "5", "--data", "digits", *waived[:1],
                   "--limit", "40", "--budget", "1", "--algorithm", "random", "--run",
                   material.path("run"), "-o", material.path("b.json")),
        "exact": ("search", "--table", t, "--algorithm", "exact", "--scores", scores,
                  "--target-ms", "5", "-o", material.path("a.json"), *waived),
        "specialise": ("search", "specialise", "--supernet", "nowhere", "--target-ms", "5",
                       "--table", t, "-o", material.path("specialised")),
        "deploy": ("deploy", net, *simulated, "--table", t),
        "report": ("profiler", "report", t, "-o", page, "--no-curves", "--network", net),
        "export": ("profiler", "export", "once-for-all", t),
        "curve": ("profiler", "curve", t, "--format", "json"),
    }  # fmt: skip


# These read the raw samples too.
OF_SAMPLES = ("report", "export", "curve")
# These compute for seconds on a table that they take; they are asked for refusals only.
LONG = ("curve", "search", "exact", "deploy")


def refused(ended: Ended, *words: str) -> None:
    """Make sure that a command refused with a sentence that holds these words."""
    assert ended.faults() == [], ended.told
    assert ended.code == 2, ended.told
    assert ended.out == "", ended.told
    for word in words:
        assert word in ended.err, ended.told


def tried(*words: str) -> Ended:
    """Run a command, and make sure that it did nothing that none may do."""
    ended = run(*words)
    assert ended.faults() == [], ended.told
    return ended
