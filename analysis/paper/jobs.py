"""Making run files: a job trains one configuration on some pictures or a mesh, and analyses what came of it.

What is there is not made again, so a study that was stopped or killed goes on where it was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkspec.errors import UsageError

if TYPE_CHECKING:
    from ntkspec.nets.config import TrainConfig
    from ntkspec.nets.image import ImageTask
    from ntkspec.nets.task import Task
    from ntkspec.nets.training import Training

PRESETS = ("baseline", "ffe-low", "ffe-medium", "ffe-high", "mpe-coarse", "mpe-fine")
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
    device: str = "cpu"

    def run_files(self, source: Path) -> dict[str, Path]:
        """Where a source's runs go, by the names of the kernels."""
        return {name: self.study / source.stem / f"{name}.h5" for name in self.kernels}

    def missing(self) -> tuple[Path, ...]:
        """Sources of which an outcome is not there."""
        return tuple(
            source
            for source in self.sources
            if not all(path.with_suffix(".json").exists() for path in self.run_files(source).values())
        )


def sources_in(folder: Path, endings: set[str], count: int | None = None) -> tuple[Path, ...]:
    """The files of a folder with these endings by name, or `count` of them, evenly spread.

    Raises:
        UsageError: there are none.
    """
    wanted = " or ".join(sorted(endings))
    if not folder.is_dir():
        raise UsageError(str(folder), expected=f"a folder of {wanted} files", got="none", remedy=ANOTHER)
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)
    if not found:
        raise UsageError(str(folder), expected=f"{wanted} files in it", got="none", remedy=ANOTHER)
    if count is None or count >= len(found):
        return tuple(found)
    return tuple(found[round(i * (len(found) - 1) / max(count - 1, 1))] for i in range(count))


def run_all(jobs: Sequence[Job], workers: int) -> None:
    """What is missing of all jobs, `workers` at a time with a thread each, a line for each.

    Small networks gain little from a second thread, two processes nearly everything.
    """
    todo = [job for job in jobs if job.missing()]
    start = time.perf_counter()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the children import NumPy and PyTorch
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(work, job) for job in todo]
        try:
            for done, future in enumerate(as_completed(running), 1):
                minutes = (time.perf_counter() - start) / 60
                print(f"[{done}/{len(todo)}, {minutes:.1f} min] {future.result()}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def work(job: Job) -> str:
    """Train what is missing of a job, write the run files, analyse them; what was done, in a line."""
    from outcomes import of_file

    start = time.perf_counter()
    missing = job.missing()
    untrained = [s for s in missing if not all(path.exists() for path in job.run_files(s).values())]
    if untrained:
        _train(job, untrained)
    trained = time.perf_counter()
    for source in missing:
        for path in job.run_files(source).values():
            of_file(path)
    took = f"trained in {trained - start:.0f} s, analysed in {time.perf_counter() - trained:.0f} s"
    names = f"{len(missing)} from {missing[0].stem}" if len(missing) > 1 else missing[0].stem
    return f"{next(iter(job.kernels))}, {names}: {took}"


def _train(job: Job, sources: Sequence[Path]) -> None:
    import torch

    from ntkspec.nets.presets import resolve
    from ntkspec.train import write_run

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    config = resolve(job.settings)
    trained = _on_meshes if config.task == "occupancy" else _on_pictures
    for source, training, task in trained(job, config, sources):
        for name, samples in job.kernels.items():
            of_source = {"mesh" if config.task == "occupancy" else "image": source.name}
            named = replace(training, config=_with(training.config, **of_source, **samples))
            path = job.run_files(source)[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            indices = task.sample(named.config.sampling, named.config.samples, named.config.seed)
            write_run(path, named, task, indices, overwrite=True)


def _with(config: TrainConfig, **changed: Any) -> TrainConfig:
    return replace(config, **changed)


def _on_pictures(job: Job, config: TrainConfig, sources: Sequence[Path]) -> list[tuple[Path, Training, Task]]:
    from ntkspec.nets.image import load_image
    from ntkspec.nets.population import train_population

    tasks = [_coloured(load_image(picture, config.side)) for picture in sources]
    trainings = train_population(config, tasks, kept=job.kept, device=job.device)
    return list(zip(sources, trainings, tasks, strict=True))


def _coloured(task: ImageTask) -> ImageTask:
    """Grey pictures learn three equal channels, so that all kernels are of as many outputs."""
    return task if task.channels == 3 else replace(task, values=np.repeat(task.values, 3, axis=1))


def _on_meshes(job: Job, config: TrainConfig, sources: Sequence[Path]) -> list[tuple[Path, Training, Task]]:
    from ntkspec.nets.training import train
    from ntkspec.train import load_task

    tasks = [load_task(config, mesh) for mesh in sources]
    return [
        (source, _only(job.kept, train(config, task)), task)
        for source, task in zip(sources, tasks, strict=True)
    ]


def _only(kept: frozenset[str], training: Training) -> Training:
    return replace(training, snapshots=tuple(each for each in training.snapshots if each.label in kept))
