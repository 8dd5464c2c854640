"""One large kernel over several processes: workers compute squares of its tiles, one process merges them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ntkspec.backend import select
from ntkspec.cluster.jobs import run_jobs
from ntkspec.counts import whole_number
from ntkspec.errors import MemoryBudgetError, OutputError, RunFileError
from ntkspec.file_sign import Sign, sign_of
from ntkspec.jacobian import Jacobian
from ntkspec.kernel import squares
from ntkspec.kernel.dense import Assembly
from ntkspec.kernel.files import fill_file
from ntkspec.kernel.forms import TileForm, forms_of
from ntkspec.kernel.kernel_file import KernelFile
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.squares import Square
from ntkspec.kernel.tiles import Tiling
from ntkspec.report.places import kernel_files, names_in_file
from ntkspec.run_analysis import Progress, RunSettings, chosen, drawn, kernel_of
from ntkspec.spectral.ablation import sums_of_blocks
from ntkspec.store import open_run
from ntkspec.store.disk import writing

DEFAULTS = RunSettings()
SIDE = 2048  # rows of a square: in much smaller ones reading the factors takes as long as multiplying them


@dataclass(frozen=True)
class Source:
    """Which kernels: those of one snapshot of a run file."""

    run_file: Path
    sign: Sign | None  # of the file as all squares are to find it
    snapshot: str  # id
    settings: RunSettings


@dataclass(frozen=True)
class SquareJob:
    """A square of kernels to compute: plain values, so that it can be pickled."""

    source: Source
    square: Square
    step: int  # samples of a tile
    forms: Mapping[str, TileForm]  # of the blocks, as all samples want them
    place: Path  # of the file to put it in


def write_kernels_with(
    executor: Executor,
    run_file: str | Path,
    folder: str | Path,
    settings: RunSettings = DEFAULTS,
    *,
    at_once: int = 4,
    side: int = SIDE,
    progress: Progress | None = None,
    watch: Callable[[int], None] = lambda underway: None,
) -> list[Path]:
    """Write the kernels of a run file to `<folder>/<run>-<snapshot id>.h5`, computed by workers.

    The files are those that `analyze --kernels` and `ntkspec.write_kernels` write, to the bit, however many
    workers there are. A file that is complete and of the same Jacobian is left as it is; one that was
    interrupted is continued, whichever way it was begun. Where this ends with an error, what was computed is
    kept, and the next call does the rest.

    Args:
        executor: of threads, of processes, or of Dask (`client.get_executor()`). Its workers see the same
            files under the same names, and are machines of one kind with this one.
        run_file: the run file.
        folder: of the kernel files; it is made.
        settings: all but `method`, `k`, `check`, `alignment` count. `memory` is every worker's budget, too.
        at_once: jobs that are submitted ahead. As many squares lie beside the kernel file at most.
        side: rows of a square, rounded up to whole tiles.
        progress: called with a line whenever a square is in the file.
        watch: see `ntkspec.cluster.jobs.run_jobs`.

    Returns:
        The files, one a snapshot.

    Raises:
        OutputError: a file is another one's, is being written, or there is no room for it.
        MemoryBudgetError: the work does not fit the budget, here or where a worker is.
        UsageError: the run cannot give what is asked for.
        ClusterError: a worker died, and what it had could not be done again.
        RunFileError: the file does not obey docs/run-format.md.

    Example:
        >>> import tempfile
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as executor:
        ...     paths = write_kernels_with(executor, "data/golden/mpe.h5", folder)
        >>> [path.name for path in paths]
        ['mpe-init.h5']
    """
    workers = _Workers(
        executor,
        whole_number(at_once, "at_once", 1),
        whole_number(side, "side", 1),
        progress or (lambda _: None),
        watch,
    )
    engine = select(settings.backend)
    settings = replace(settings, backend=engine.name)  # the workers' too
    sign = sign_of(run_file)
    with open_run(run_file, memory=settings.memory) as run:
        snapshots = chosen(run, settings)
        with kernel_files([run.path], [[snap.id for snap in snapshots]], Path(folder)) as (places,):
            run.check_values()
            for snap in snapshots:
                jacobian = drawn(snap.jacobian, settings)
                kernel, parts = kernel_of(jacobian, settings, engine), _sums(jacobian, settings)
                source = Source(run.path.absolute(), sign, snap.id, settings)
                fill_file(places[snap.id], kernel, parts, partial(workers.fill, source=source))
    return list(places.values())


def compute_square(job: SquareJob) -> None:
    """Compute a square and put it in its file: what a worker does.

    Only the factors of its rows and columns are read.

    Raises:
        MemoryBudgetError: these factors and the tiles at work do not fit the budget.
        RunFileError: the run file is not what it was.
        OutputError: the file cannot be written.
    """
    settings, square = job.source.settings, job.square
    with open_run(job.source.run_file, memory=settings.memory) as run:
        jacobian = run.snapshot(job.source.snapshot).jacobian
        rows = drawn(jacobian, settings, square.rows)
        columns = None if square.on_diagonal else drawn(jacobian, settings, square.columns)
    _require_unchanged(job.source)
    engine = select(settings.backend)
    plan = _plan(job, kernel_of(rows, settings, engine, columns), _sums(rows, settings))
    kernels = plan.targets()
    for _ in plan.run(kernels):
        pass
    squares.write_square(job.place, (engine.get(kernels[name]) for name in plan.names))


def _require_unchanged(source: Source) -> None:
    """Refuse numbers of a file that was changed since the kernel's file was begun for it."""
    if sign_of(source.run_file) != source.sign:
        raise RunFileError(
            str(source.run_file),
            expected="the file of which the kernel was begun",
            got="one that was changed meanwhile",
            remedy="start again when whoever writes it is done, into another folder",
        )


@dataclass(frozen=True)
class _Workers:
    """Who computes, and how much at once."""

    executor: Executor
    at_once: int
    side: int
    say: Progress
    watch: Callable[[int], None]

    def fill(self, file: KernelFile, source: Source) -> None:
        """Have the squares computed of which tiles are missing, and merge each as it comes."""
        with closing(self._computed(self._jobs(file, source))) as computed:
            for square in computed:
                if not squares.merge(file, square):
                    raise OutputError(
                        str(squares.place_of(file, square)),
                        expected="the tiles that a worker wrote",
                        got="other bytes, or none",
                        remedy="see that workers write to the same file system, and start again",
                    )
                self.say(f"kernels to {file.path}, {file.share:.0%}")

    def _computed(self, jobs: Iterable[SquareJob]) -> Generator[Square]:
        """Yield the squares as they come to lie in their files."""
        for ended in run_jobs(
            self.executor, compute_square, jobs, ahead=lambda: self.at_once, watch=self.watch
        ):
            if ended.error is not None:
                raise ended.error
            yield ended.job.square

    def _jobs(self, file: KernelFile, source: Source) -> list[SquareJob]:
        """The squares that are not in the file, of whole tiles."""
        kernel, step = file.plan.kernel, file.plan.tiling.step
        width = -(-self.side // (step * kernel.repeat)) * step  # in samples
        every = squares.squares_of(kernel.rows.samples, width)
        todo = [square for square in every if squares.missing(file, square)]
        if not todo:
            return []
        forms, folder = forms_of(kernel), squares.folder_of(file.path)
        with writing(file.path):
            folder.mkdir(exist_ok=True)
        return [
            SquareJob(source, square, step, forms, squares.place_of(file, square).absolute())
            for square in todo
        ]


def _sums(jacobian: Jacobian, settings: RunSettings) -> dict[str, Jacobian]:
    """The sums of blocks that go to one file."""
    return names_in_file(sums_of_blocks(jacobian, settings.drop))


def _plan(job: SquareJob, kernel: Kernel, parts: Mapping[str, Jacobian]) -> Assembly:
    """How a square is computed: in the tiles of the whole kernel, all of its factors at once."""
    plan = Assembly.from_kernel(kernel, parts, tile=job.step * kernel.repeat)
    samples = max(len(job.square.rows), len(job.square.columns))
    needed = Tiling(samples, min(job.step, samples))
    if plan.tiling != needed:
        raise MemoryBudgetError(
            f"a square of {len(job.square.rows)} by {len(job.square.columns)} samples",
            expected=f"room for the factors of {needed.panel} at a time, in tiles of {needed.step}",
            got=f"a worker's budget for {plan.tiling.panel}, in tiles of {plan.tiling.step}",
            remedy="raise --memory, or take workers that have more",
        )
    return replace(plan, forms=job.forms)
