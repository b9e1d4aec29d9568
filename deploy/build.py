"""Build artefacts in parallel processes, each checked before it is stored."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children, get_context

from deploy.artefact import Artefact, ExportSpec, cached_path, digest, find_artefact, store
from deploy.exporters.registry import ExporterEntry, make_exporter, toolchain
from search.console.progress import Progress
from search.errors import KitError

_BYTES_PER_WORKER = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """One export's artefact, or the reason why there is none."""

    export: ExportSpec
    artefact: Artefact | None
    reason: str = ""
    cached: bool = False


def default_workers() -> int:
    """One process a core, but no more than free memory allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(cores or 1, free // _BYTES_PER_WORKER, 8))


def lookup(exports: Sequence[ExportSpec], entry: ExporterEntry) -> dict[str, Artefact]:
    """The artefacts that are in the cache already, by name."""
    versions = toolchain(entry)
    artefacts = {
        export.name: find_artefact(
            cached_path(entry.name, entry.suffix, digest(export, entry.name, versions))
        )
        for export in exports
    }
    return {name: artefact for name, artefact in artefacts.items() if artefact is not None}


def build_all(
    exports: Sequence[ExportSpec], entry: ExporterEntry, workers: int | None = None
) -> Generator[BuildResult, None, None]:
    """Yield one result an export, cached ones first, then as they finish.

    An export that raises, or kills its process twice, yields a reason; the
    others continue. Closing the iterator cancels what has not begun.
    """
    ready = lookup(exports, entry)
    for export in exports:
        if export.name in ready:
            yield BuildResult(export=export, artefact=ready[export.name], cached=True)
    todo = [export for export in exports if export.name not in ready]
    if not entry.packages:
        for export in todo:
            yield _result(partial(build_one, export, entry), export)
        return
    if not todo:
        return
    yield from _build_parallel(todo, entry, min(workers or default_workers(), len(todo)))


def collect(
    exports: Sequence[ExportSpec],
    entry: ExporterEntry,
    workers: int | None = None,
    *,
    progress: Progress,
    on_failure: Callable[[str, str], None] | None = None,
    enough: Callable[[str], bool] | None = None,
) -> tuple[dict[str, Artefact], dict[str, str]]:
    """Build all exports: artefacts by name, and by name the reasons of failed ones.

    Args:
        exports: What is to be built, in this order; names differ.
        entry: The exporter.
        workers: Parallel processes; None as many as cores and memory allow.
        progress: Told of a stage "build" and each of its steps.
        on_failure: Called at once with the name and the reason of a failed export; may
            raise to end the building. None reports a line to `progress`.
        enough: Called with the name of each finished export; building ends when it is true.
    """
    progress.stage("build", len(exports))
    artefacts: dict[str, Artefact] = {}
    reasons: dict[str, str] = {}
    with contextlib.closing(build_all(exports, entry, workers)) as results:
        for result in results:
            progress.advance()
            name = result.export.name
            if result.artefact is not None:
                artefacts[name] = result.artefact
            else:
                reasons[name] = result.reason
                if on_failure is None:
                    progress.say(f"failed: {name}: {result.reason}")
                else:
                    on_failure(name, result.reason)
            if enough is not None and enough(name):
                break
    return artefacts, reasons


def _build_parallel(
    todo: list[ExportSpec], entry: ExporterEntry, workers: int
) -> Iterator[BuildResult]:
    left = {export.name: export for export in todo}
    try:
        for result in _run_pool(todo, entry, workers):
            del left[result.export.name]
            yield result
    except BrokenProcessPool:
        # The pool cannot say which export killed its process. One at a time
        # it can: the oldest one that is left.
        yield from _build_serially(left, entry)


def _build_serially(left: dict[str, ExportSpec], entry: ExporterEntry) -> Iterator[BuildResult]:
    while left:
        try:
            for result in _run_pool(list(left.values()), entry, 1):
                del left[result.export.name]
                yield result
        except BrokenProcessPool:
            culprit = left.pop(next(iter(left)))
            reason = "the exporter's process died (out of memory, or a crash of a tool)"
            yield BuildResult(export=culprit, artefact=None, reason=reason)


def _run_pool(todo: list[ExportSpec], entry: ExporterEntry, workers: int) -> Iterator[BuildResult]:
    context = get_context("spawn")  # torch's threads do not survive a fork
    pool = ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=_start_worker,
        max_tasks_per_child=entry.tasks_per_process,
    )
    try:
        running: dict[Future[Artefact], ExportSpec] = {}
        queue = list(reversed(todo))
        while queue or running:
            while queue and len(running) < workers + 1:
                export = queue.pop()
                running[pool.submit(build_one, export, entry)] = export
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            # What finished together with a crash comes first, or it would be blamed for it.
            for future in sorted(done, key=_is_broken):
                export = running.pop(future)
                yield _result(future.result, export)
    except BaseException:
        # Interrupted, or the disk is full: an export may take 20 s to end.
        for child in active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _is_broken(future: "Future[Artefact]") -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _result(work: Callable[[], Artefact], export: ExportSpec) -> BuildResult:
    try:
        return BuildResult(export=export, artefact=work())
    except BrokenProcessPool:
        raise
    except OSError:
        raise  # a full or read-only disk is not this export's fault
    except Exception as error:
        reason = str(error) if isinstance(error, KitError) else f"{type(error).__name__}: {error}"
        return BuildResult(export=export, artefact=None, reason=reason[:500])


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    import torch

    torch.set_num_threads(1)


def _die_with(parent: int) -> None:
    """End this process when its parent is gone: a killed one cannot say so."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def build_one(export: ExportSpec, entry: ExporterEntry) -> Artefact:
    """Build one file, check it, store it.

    Raises:
        ExportError: It cannot be exported, or its file computes something else.
    """
    started = time.monotonic()
    exported = make_exporter(entry).build(export)
    versions = toolchain(entry)
    return store(
        cached_path(entry.name, entry.suffix, digest(export, entry.name, versions)),
        exported.content,
        exporter=entry.name,
        operator_keys=[operator.key for operator in export.operators],
        toolchain=versions,
        relative_error=exported.relative_error,
        build_seconds=time.monotonic() - started,
    )
