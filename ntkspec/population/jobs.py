"""Make run files: a job trains one configuration on some pictures or meshes, and analyses the run files.

Run files and results that exist are not made again, so a population that was stopped or killed can continue.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ntkspec.cluster.workers import Cluster
from ntkspec.errors import NtkspecError, UsageError
from ntkspec.population.kept import ResultKind
from ntkspec.population.made_by import made_by
from ntkspec.population.outcomes import OUTCOMES
from ntkspec.population.workers import in_workers

if TYPE_CHECKING:
    import torch

    from ntkspec.nets.config import TrainConfig
    from ntkspec.nets.image import ImageTask
    from ntkspec.nets.task import Task
    from ntkspec.nets.training import Training


Config: TypeAlias = Mapping[str, Any]  # of a run, as its file holds it
OF_SOURCES = ("image", "mesh", "up", "azimuth")  # entries of a run's task that tell its source and view


@dataclass(frozen=True)
class Job:
    """The training of one configuration, on pictures at the same time or on meshes one after the other."""

    study: Path  # folder of the population, with run files <study>/<stem of the source>/<name>.h5
    sources: tuple[Path, ...]
    settings: Mapping[str, Any]  # as `ntkspec.nets.presets.resolve` takes them
    # Names of the run files to write, and for each how its samples are chosen, if not as in the settings.
    kernels: Mapping[str, Mapping[str, Any]]
    kept: frozenset[str] = frozenset({"mid", "end"})  # labels of the snapshots to analyse
    results: ResultKind[Any] = OUTCOMES  # what is made of each run file, and kept beside it; has a `config`
    device: str = "cpu"  # that the worker trains on, see `ntkspec.nets.devices.find_device`

    def run_files(self, source: Path) -> dict[str, Path]:
        """Return a dict from run name to the path of the run file, for one source."""
        return {name: self.study / source.stem / f"{name}.h5" for name in self.kernels}

    def absolute(self) -> Job:
        """Return the same job with absolute paths: a worker may have been started in another folder."""
        sources = tuple(source.absolute() for source in self.sources)
        return replace(self, study=self.study.absolute(), sources=sources)

    def missing(self) -> tuple[Path, ...]:
        """Return the sources that lack a result."""
        return tuple(
            source
            for source in self.sources
            if any(self.results.find(path) is None for path in self.run_files(source).values())
        )

    def check(self, sources: Iterable[Path]) -> None:
        """Require that the results that there are for these sources are of this job's settings.

        Raises:
            UsageError: a run has other settings, or another picture or mesh.
        """
        from ntkspec.nets.presets import resolve

        config = resolve(self.settings)
        for source in sources:
            for name, path in self.run_files(source).items():
                result = self.results.find(path)
                if result is None:
                    continue
                ours, theirs = replace(config, **self.kernels[name]).to_dict(), result.config
                keys = _differing(settings_of(ours), settings_of(theirs))
                if "sha256" in theirs and source.exists() and theirs["sha256"] != sha256(source):
                    keys.append("its picture or mesh")
                if keys:
                    raise UsageError(
                        str(path),
                        expected="a run of these settings, or none",
                        got=f"one that differs in {', '.join(keys)}",
                        remedy="choose another folder, or delete it",
                    )


def settings_of(config: Config) -> Config:
    """Return the part of a config that all runs of one name share in a study.

    The keys source, view, label and seed are left out, and so is what made the run. The seed may differ,
    since a picture keeps its seed when others are added to the study.
    """
    task = {key: value for key, value in config.get("task", {}).items() if key not in OF_SOURCES}
    apart = ("label", "seed", "family", "device", "trained_by", "sha256")
    return {key: value for key, value in config.items() if key not in apart} | {"task": task}


def _differing(ours: Config, theirs: Config) -> list[str]:
    """Return the keys whose values differ, sorted."""
    return sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))


def run_all(jobs: Sequence[Job], cluster: Cluster) -> None:
    """Do the missing parts of all jobs on the workers of a cluster; print a line for each, see `in_workers`.

    Raises:
        UsageError: there are runs of other settings, or one source has two names; nothing is made then.
        NtkspecError: the first that a job raised, once all others are done.
    """
    check_apart({source for job in jobs for source in job.sources})
    for job in jobs:
        job.check(job.sources)
    todo = [replace(job, sources=missing).absolute() for job in jobs if (missing := job.missing())]
    failures = in_workers(work, todo, cluster, networks=lambda job: len(job.sources))
    _say_of_others(jobs)
    if failures:
        raise failures[0].error


def _say_of_others(jobs: Sequence[Job]) -> None:
    """Print which runs of a population no job asks for, since tables and figures count them as well."""
    for study in sorted({job.study for job in jobs}):
        wanted = {source.stem for job in jobs if job.study == study for source in job.sources}
        others = sorted({path.parent.name for path in study.glob("*/*.h5")} - wanted)
        if others:
            print(f"note: {study} also holds {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}: "
                  f"{len(others)} not asked for, which tables and figures count as well")  # fmt: skip


def check_apart(sources: Iterable[Path]) -> None:
    """Require that no picture or mesh occurs twice.

    Raises:
        UsageError: two files have the same bytes.
    """
    seen: dict[str, Path] = {}
    for source in sorted(sources):
        other = seen.setdefault(sha256(source), source)
        if other != source:
            raise UsageError(
                str(source),
                expected="a picture or mesh that differs from the others",
                got=f"the bytes of {other}",
                remedy="take one of the two away",
            )


def sha256(source: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def work(job: Job) -> str:
    """Do the missing parts of a job: train, write and analyse the run files; return a line about them.

    Raises:
        NtkspecError: the first error of a source; it is raised after all other sources are done.
    """
    start = time.perf_counter()
    missing, failed = job.missing(), None
    untrained = [s for s in missing if not all(path.exists() for path in job.run_files(s).values())]
    if untrained:
        failed = _train(job, untrained)
    trained = time.perf_counter()
    for path in (path for source in missing for path in job.run_files(source).values()):
        if path.exists():  # else its training failed
            job.results.find_or_make(path)
    job.check(job.sources)  # all of them: another process may have made some since the job was given
    if failed:
        raise failed
    took = f"trained in {trained - start:.0f} s, analysed in {time.perf_counter() - trained:.0f} s"
    names = job.sources[0].stem
    if len(job.sources) > 1:
        names = f"{len(job.sources)} from {names}"
    return f"{next(iter(job.kernels))}, {names}: {took}"


def _train(job: Job, sources: Sequence[Path]) -> NtkspecError | None:
    """Train on some sources and write the run files; return the first error of a source, or None."""
    import torch

    from ntkspec.nets.devices import find_device
    from ntkspec.nets.image import ImageTask
    from ntkspec.nets.presets import resolve
    from ntkspec.train import load_task, write_run

    device = find_device(job.device)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    config, failed = resolve(job.settings), None
    tasks: dict[Path, Task] = {}
    for source in sources:
        try:
            task = load_task(config, source)
            for note in task.notes:
                print(f"note: {note}", flush=True)
            for samples in job.kernels.values():  # raises if there are not so many
                _indices(task, replace(config, **samples))
            tasks[source] = coloured(task) if isinstance(task, ImageTask) else task
        except NtkspecError as error:
            failed = failed or error
    trainings = _trainings(config, [*tasks.values()], job.kept, device)
    for (source, task), training in zip(tasks.items(), trainings, strict=True):
        if isinstance(training, NtkspecError):
            failed = failed or training
            continue
        for name, samples in job.kernels.items():
            of_source: dict[str, Any] = {"mesh" if config.task == "occupancy" else "image": source.name}
            named = replace(training, config=replace(training.config, **of_source, **samples))
            path = job.run_files(source)[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            notes = {"trained_by": made_by(), "sha256": sha256(source)}
            write_run(path, named, task, _indices(task, named.config), overwrite=True, notes=notes)
    return failed


def _indices(task: Task, config: TrainConfig) -> NDArray[np.int64]:
    return task.sample(config.sampling, config.samples, config.seed)


def _trainings(
    config: TrainConfig, tasks: Sequence[Task], kept: frozenset[str], device: torch.device
) -> Sequence[Training | NtkspecError]:
    """Return the training of each task, or its error: pictures at the same time, meshes in turn."""
    from ntkspec.nets.image import ImageTask
    from ntkspec.nets.population import train_population
    from ntkspec.nets.training import train

    pictures = [task for task in tasks if isinstance(task, ImageTask)]
    try:
        if pictures:
            return train_population(config, pictures, kept=kept, device=device)
        return [train(config, task, kept=kept, device=device) for task in tasks]
    except NtkspecError as error:  # of one of them, such as a loss that is no longer finite
        if len(tasks) == 1:
            return [error]
        return [training for task in tasks for training in _trainings(config, [task], kept, device)]


def coloured(task: ImageTask) -> ImageTask:
    """Give a grey picture three equal channels, so that the kernels of all pictures have three outputs."""
    return task if task.channels == 3 else replace(task, values=np.repeat(task.values, 3, axis=1))
