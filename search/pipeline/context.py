"""What every method of a search is given."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from search.architecture import write_architecture
from search.pipeline.candidates import Candidate, candidate_row
from search.pipeline.problem import SearchProblem
from search.pipeline.result import SearchResult
from search.selection.exact import network_of
from search.training.distributed import ProcessGroup, peers
from search.training.progress import Observer
from search.training.run_control import Stopwatch
from search.training.settings import TrainingSettings

_MOST_WRITTEN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What every method is given besides its own hyperparameters.

    `folder` keeps checkpoints, trace, scores and trials, for `resume`.
    """

    task: SearchProblem
    settings: TrainingSettings
    folder: Path
    resume: bool = False
    accept_changes: bool = False
    observers: Sequence[Observer] = ()
    processes: ProcessGroup = field(default_factory=ProcessGroup)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    def say(self, text: str) -> None:
        """Tell the user."""
        if self.processes.leads:
            for observer in self.observers:
                observer.notice(text)

    def outcome(
        self,
        algorithm: str,
        chosen: Candidate,
        found: Sequence[Candidate],
        *,
        architecture: Path,
        data: str,
        recipe: dict[str, object],
        command: str,
    ) -> SearchResult:
        """The result, with all that it rests on."""
        task, manifest = self.task, self.task.table.manifest
        return SearchResult(
            architecture=architecture.name,
            algorithm=algorithm,
            chosen=candidate_row(chosen, task),
            candidates=tuple(candidate_row(one, task) for one in found),
            cost=task.costs.unit.cost,
            target_us=task.target_us,
            most=None if task.target is None or task.weighs_latency else task.target.value,
            probability=task.probability,
            table_id=manifest.table_id,
            table=task.table.label,
            device=manifest.device.id,
            table_source=manifest.source,
            space=task.space.spec,
            data=data,
            recipe=recipe,
            seed=self.settings.seed,
            seconds=round(self.stopwatch.seconds(), 1),
            waivers=task.waivers.as_words(),
            command=command,
        )


def share_choices(choices: Sequence[int], processes: ProcessGroup) -> tuple[int, ...]:
    """The first process's network in every process."""
    if processes.world == 1:
        return tuple(choices)
    backend = torch.distributed.get_backend()
    device = torch.device("cuda", processes.local_rank) if backend == "nccl" else "cpu"
    shared = torch.tensor(np.asarray(choices), dtype=torch.int64, device=device)
    with peers():
        torch.distributed.broadcast(shared, src=0)
    return tuple(int(choice) for choice in shared.tolist())


def write_candidates(session: RunContext, found: Sequence[Candidate]) -> None:
    """Candidates, where there is a choice, as architecture files in the session's folder.

    Those whose trial failed are left out; they come last.
    """
    if len(found) < 2:
        return
    sound = [one for one in found if one.failed is None]
    for number, one in enumerate(sound[:_MOST_WRITTEN], 1):
        name = f"candidate-{number}"
        write_architecture(
            network_of(session.task.space, one.choices, name),
            session.folder / "candidates" / f"{name}.json",
        )
