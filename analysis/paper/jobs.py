"""Making run files: a job trains one configuration on some pictures or a mesh, and analyses what came of it.

What is there is not made again, so a study that was stopped or killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from beside import made_by
from kept import has_outcome, of_file
from numpy.typing import NDArray
from outcomes import settings_of

from ntkspec.errors import NtkspecError, UsageError

if TYPE_CHECKING:
    from ntkspec.nets.config import TrainConfig
    from ntkspec.nets.image import ImageTask
    from ntkspec.nets.task import Task
    from ntkspec.nets.training import Training

Item = TypeVar("Item")

ANOTHER = "name another folder; to make: by PICTURES=, MESHES= or NTKSPEC_DATA"
PICTURES = {".jpeg", ".jpg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
MESHES = {".ply", ".obj", ".stl", ".off", ".glb"}


@dataclass(frozen=True)
class Job:
    """One training of one configuration, on pictures that learn together or on meshes one after the other."""

    study: Path  # folder; the run file of a source is <study>/<source's name>/<name>.h5
    sources: tuple[Path, ...]
    settings: Mapping[str, Any]  # of `ntkspec.nets.presets.resolve`
    # Run files to write from the training: name -> how its samples are chosen, if not as in the settings.
    kernels: Mapping[str, Mapping[str, Any]]
    kept: frozenset[str] = frozenset({"mid", "end"})  # labels of the snapshots to analyse
    device: str = "cpu"  # where pictures are trained; meshes are on the CPU

    def run_files(self, source: Path) -> dict[str, Path]:
        """Where a source's runs go, by the names of the kernels."""
        return {name: self.study / source.stem / f"{name}.h5" for name in self.kernels}

    def missing(self) -> tuple[Path, ...]:
        """Sources of which an outcome is not there."""
        return tuple(
            source for source in self.sources if not all(map(has_outcome, self.run_files(source).values()))
        )

    def check(self, sources: Iterable[Path], wanted: Callable[[Path], bool]) -> None:
        """Refuse runs of other settings among the `wanted` run files of these sources.

        Raises:
            UsageError: an outcome, made now if it is missing, says that its run was made otherwise.
        """
        from ntkspec.nets.presets import resolve

        config = resolve(self.settings)
        for source in sources:
            for name, path in self.run_files(source).items():
                if not wanted(path):
                    continue
                ours = settings_of(replace(config, **self.kernels[name]).to_dict())
                found = of_file(path).config
                theirs = settings_of(found)
                keys = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
                if "sha256" in found and source.exists() and found["sha256"] != _digest(source):
                    keys.append("its picture or mesh")
                if keys:
                    raise UsageError(
                        str(path),
                        expected="a run of these settings, or none",
                        got=f"one that differs in {', '.join(keys)}",
                        remedy="choose another folder, or delete it",
                    )


def sources_in(folder: Path, endings: set[str], count: int | None = None) -> tuple[Path, ...]:
    """The files of a folder with these endings by name, or `count` of them, evenly spread.

    Of a folder of folders, such as synsets, the first file of each.

    Raises:
        UsageError: there are none.
    """
    wanted = " or ".join(sorted(endings))
    if not folder.is_dir():
        raise UsageError(str(folder), expected=f"a folder of {wanted} files", got="none", remedy=ANOTHER)
    found = _files(folder, endings)
    if not found:
        inner = (_files(each, endings) for each in sorted(folder.iterdir()) if each.is_dir())
        found = [files[0] for files in inner if files]
    stems = [path.stem for path in found]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise UsageError(
            str(folder), expected="files of different names", got=f"{twice} twice", remedy="rename one"
        )
    if not found:
        raise UsageError(str(folder), expected=f"{wanted} files in it", got="none", remedy=ANOTHER)
    return tuple(found if count is None else spread(found, count))


def spread(items: Sequence[Item], count: int) -> Sequence[Item]:
    """`count` of the items, evenly spread from the first to the last; all if there are no more."""
    if count >= len(items):
        return items
    return [items[round(i * (len(items) - 1) / max(count - 1, 1))] for i in range(count)]


def _files(folder: Path, endings: set[str]) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in endings and path.is_file() and not path.name.startswith(".")
    )


def run_all(jobs: Sequence[Job], workers: int) -> None:
    """What is missing of all jobs, `workers` at a time with a thread each, a line for each.

    Small networks gain little from a second thread, two processes nearly everything.

    Raises:
        UsageError: before anything is made: runs of other settings are there, or one source has two names.
        NtkspecError: the first that a job met with, once all others are done.
    """
    _check_sources({source for job in jobs for source in job.sources})
    for job in jobs:
        job.check(job.sources, has_outcome)
    todo = [job for job in jobs if job.missing()]
    start = time.perf_counter()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the children import NumPy and PyTorch
    failed: NtkspecError | None = None
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker) as pool:
        running = [pool.submit(work, job) for job in todo]
        try:
            for done, future in enumerate(as_completed(running), 1):
                try:
                    said = future.result()
                except NtkspecError as error:  # of one job; the others go on
                    failed, said = failed or error, f"failed: {error}"
                minutes = (time.perf_counter() - start) / 60
                print(f"[{done}/{len(todo)}, {minutes:.1f} min] {said}", flush=True)
        except BrokenProcessPool as error:
            raise UsageError(
                "a worker", expected="to finish", got="its death", remedy="start again, with fewer --workers"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    _say_of_others(jobs)
    if failed:
        raise failed


def _check_sources(sources: Iterable[Path]) -> None:
    """Refuse a picture or mesh that would count twice."""
    seen: dict[str, Path] = {}
    for source in sorted(sources):
        other = seen.setdefault(_digest(source), source)
        if other != source:
            raise UsageError(
                str(source),
                expected="a picture or mesh that differs from the others",
                got=f"the bytes of {other}",
                remedy="take one of the two away",
            )


def _say_of_others(jobs: Sequence[Job]) -> None:
    for study in sorted({job.study for job in jobs}):
        asked = {source.stem for job in jobs if job.study == study for source in job.sources}
        others = sorted({path.parent.name for path in study.glob("*/*.h5")} - asked)
        if others:
            print(f"note: {study} also holds {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}: "
                  f"{len(others)} not asked for, which tables and figures count as well")  # fmt: skip


def _start_worker() -> None:
    """Ctrl-C ends a worker at once, since whoever started it says so; and so does its parent's death."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this, a worker whose parent is killed waits for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def work(job: Job) -> str:
    """Train what is missing of a job, write the run files, analyse them; what was done, in a line."""
    start = time.perf_counter()
    missing, failed = job.missing(), None
    untrained = [s for s in missing if not all(path.exists() for path in job.run_files(s).values())]
    if untrained:
        failed = _train(job, untrained)
    trained = time.perf_counter()
    job.check(missing, Path.exists)  # which analyses them
    if failed:
        raise failed
    took = f"trained in {trained - start:.0f} s, analysed in {time.perf_counter() - trained:.0f} s"
    names = f"{len(missing)} from {missing[0].stem}" if len(missing) > 1 else missing[0].stem
    return f"{next(iter(job.kernels))}, {names}: {took}"


def _train(job: Job, sources: Sequence[Path]) -> NtkspecError | None:
    """Write the run files; the first source that cannot be read is returned as the error that it is."""
    import torch

    from ntkspec.nets.image import ImageTask
    from ntkspec.nets.presets import resolve
    from ntkspec.train import load_task, write_run

    if job.device != "cpu" and not torch.cuda.is_available():
        got = f"{job.device}, which PyTorch does not see here"
        raise UsageError("option --device", expected="cpu", got=got, remedy="leave it out")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    config, failed = resolve(job.settings), None
    tasks: dict[Path, Task] = {}
    for source in sources:
        try:
            task = load_task(config, source)
            for note in task.notes:
                print(f"note: {note}", flush=True)
            for samples in job.kernels.values():  # which may be more than there are
                _indices(task, replace(config, **samples))
            tasks[source] = coloured(task) if isinstance(task, ImageTask) else task
        except NtkspecError as error:
            failed = failed or error
    for (source, task), training in zip(
        tasks.items(), _trainings(job, config, [*tasks.values()]), strict=True
    ):
        if isinstance(training, NtkspecError):
            failed = failed or training
            continue
        for name, samples in job.kernels.items():
            of_source: dict[str, Any] = {"mesh" if config.task == "occupancy" else "image": source.name}
            named = replace(training, config=replace(training.config, **of_source, **samples))
            path = job.run_files(source)[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            notes = {"trained_by": made_by(), "sha256": _digest(source)}
            write_run(path, named, task, _indices(task, named.config), overwrite=True, notes=notes)
    return failed


def _indices(task: Task, config: TrainConfig) -> NDArray[np.int64]:
    return task.sample(config.sampling, config.samples, config.seed)


def _digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes()).hexdigest()


def _trainings(job: Job, config: TrainConfig, tasks: Sequence[Task]) -> Sequence[Training | NtkspecError]:
    """One for each task, or why it came to nothing: pictures at once, meshes one after the other."""
    from ntkspec.nets.image import ImageTask
    from ntkspec.nets.population import train_population
    from ntkspec.nets.training import train

    pictures = [task for task in tasks if isinstance(task, ImageTask)]
    try:
        if pictures:
            return train_population(config, pictures, kept=job.kept, device=job.device)
        return [train(config, task, kept=job.kept) for task in tasks]
    except NtkspecError as error:  # of one of them, such as a loss that is no longer finite
        if len(tasks) == 1:
            return [error]
        return [training for task in tasks for training in _trainings(job, config, [task])]


def coloured(task: ImageTask) -> ImageTask:
    """Grey pictures learn three equal channels, so that all kernels are of as many outputs."""
    return task if task.channels == 3 else replace(task, values=np.repeat(task.values, 3, axis=1))
