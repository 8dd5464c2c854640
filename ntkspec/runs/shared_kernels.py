"""Compute a large kernel in several processes: workers compute squares of it, this process merges them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ntkspec.arguments.counts import whole_number
from ntkspec.backend import select
from ntkspec.cluster.jobs import Ended, run_jobs
from ntkspec.errors import MemoryBudgetError, OutputError, RunFileError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel import squares
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.files import fill_file
from ntkspec.kernel.forms import TileForm, forms_of
from ntkspec.kernel.kernel_file import KernelFile
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.squares import Square
from ntkspec.kernel.tiles import Tiling
from ntkspec.kernel.value_range import sums_in_range
from ntkspec.machine.file_sign import Sign, sign_of
from ntkspec.report.places import kernel_files, names_in_file
from ntkspec.runs.analysis import chosen
from ntkspec.runs.settings import DEFAULTS, RunSettings, drawn, kernel_of
from ntkspec.spectral.ablation import sums_of_blocks
from ntkspec.spectral.choose import Progress
from ntkspec.store import open_run
from ntkspec.store.disk import writing

SIDE = 2048  # rows of a square: in much smaller ones reading the factors takes as long as multiplying them


@dataclass(frozen=True)
class KernelSource:
    """The snapshot of a run file whose kernels are computed."""

    run_file: Path
    sign: Sign | None  # of the file as it was at the start; every worker must find it so
    snapshot: str  # id
    settings: RunSettings
    sums: tuple[str, ...]  # of blocks, whose kernels are in range


@dataclass(frozen=True)
class SquareJob:
    """A square of kernels to compute, as plain values that can be pickled."""

    source: KernelSource
    square: Square
    step: int  # samples of a tile
    forms: Mapping[str, TileForm]  # by block, chosen for all samples at once
    place: Path  # the file to write


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

    For any number of workers, the files are bit for bit those of `analyze --kernels` and
    `ntkspec.write_kernels`. Kernels of some of the blocks that are out of range are left out. A complete file
    of the same Jacobian is not changed; an unfinished one, by any of these, is continued. After an error, the
    computed parts are kept, and the next call computes the rest.

    Args:
        executor: of threads, of processes, or of Dask (`distributed.Client.get_executor`). Its workers must
            see the same files under the same names, on machines of the same kind as this one.
        run_file: the run file.
        folder: where the kernel files go; it is made.
        settings: all but method, k, check and alignment are used. The memory is every worker's, too.
        at_once: how many jobs are submitted at a time; at most so many squares wait on disk to be merged.
        side: rows of a square, rounded up to whole tiles.
        progress: called with a line after each square that is merged.
        watch: see `ntkspec.cluster.jobs.run_jobs`.

    Returns:
        The paths of the files, one for each snapshot.

    Raises:
        OutputError: a file belongs to another Jacobian, is being written, or there is no room for it.
        MemoryBudgetError: the work does not fit the budget, here or where a worker is.
        UsageError: the run cannot give what is asked for, or a kernel of all blocks is out of range.
        ClusterError: a worker died, and its work could not be done again.
        RunFileError: the file does not obey docs/run-format.md.

    Example:
        >>> import tempfile
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as executor:
        ...     paths = write_kernels_with(executor, "data/golden/mpe.h5", folder)
        >>> [path.name for path in paths]
        ['mpe-init.h5']
    """
    at_once, side = whole_number(at_once, "at_once", 1), whole_number(side, "side", 1)
    say = progress or (lambda _: None)
    compute = partial(run_jobs, executor, compute_square, ahead=lambda: at_once, watch=watch)
    engine = select(settings.backend)
    settings = replace(settings, backend=engine.name)  # the workers' too
    sign = sign_of(run_file)
    with open_run(run_file, memory=settings.memory) as run:
        snapshots = chosen(run, settings)
        with kernel_files([run.path], [[snap.id for snap in snapshots]], Path(folder)) as (places,):
            run.check_values()
            for snap in snapshots:
                jacobian, where = drawn(snap.jacobian, settings), f"{run.path}, snapshot {snap.id}: "
                kernel = kernel_of(jacobian, settings, engine)
                kept, left_out = sums_in_range(kernel, sums_of_blocks(jacobian, settings.drop), where)
                for line in left_out:
                    say(f"{where}{line}")
                source = KernelSource(run.path.absolute(), sign, snap.id, settings, tuple(kept))
                fill = partial(_fill, source=source, side=side, compute=compute, say=say)
                fill_file(places[snap.id], kernel, names_in_file(kept), fill)
    return list(places.values())


def compute_square(job: SquareJob) -> None:
    """Compute a square and write it to its file; this is what a worker does.

    Only the factors of the square's rows and columns are read.

    Raises:
        MemoryBudgetError: these factors and a worker's tiles do not fit the budget.
        RunFileError: the run file was changed since the start.
        OutputError: the file cannot be written.
    """
    settings, square = job.source.settings, job.square
    with open_run(job.source.run_file, memory=settings.memory) as run:
        jacobian = run.snapshot(job.source.snapshot).jacobian
        rows = drawn(jacobian, settings, square.rows)
        columns = None if square.on_diagonal else drawn(jacobian, settings, square.columns)
    _require_unchanged(job.source)
    engine = select(settings.backend)
    sums = sums_of_blocks(rows, settings.drop)
    parts = names_in_file({name: sums[name] for name in job.source.sums})
    plan = _plan(job, kernel_of(rows, settings, engine, columns), parts)
    kernels = plan.targets()
    for _ in plan.run(kernels):
        pass
    squares.write_square(job.place, (engine.get(kernels[name]) for name in plan.names))


def _require_unchanged(source: KernelSource) -> None:
    """Refuse a run file that was changed since the kernel file was begun."""
    if sign_of(source.run_file) != source.sign:
        raise RunFileError(
            str(source.run_file),
            expected="the file of which the kernel was begun",
            got="one that was changed meanwhile",
            remedy="start again when whoever writes it is done, into another folder",
        )


def _fill(
    file: KernelFile,
    source: KernelSource,
    side: int,
    compute: Callable[[Iterable[SquareJob]], Generator[Ended[SquareJob, None]]],
    say: Progress,
) -> None:
    """Let workers compute all squares with missing tiles; merge each into the file once it is done."""
    with closing(compute(_jobs(file, source, side))) as computed:
        for ended in computed:
            if ended.error is not None:
                raise ended.error
            if not squares.merge(file, ended.job.square):
                raise OutputError(
                    str(squares.place_of(file, ended.job.square)),
                    expected="the tiles that a worker wrote",
                    got="other bytes, or none",
                    remedy="see that workers write to the same file system, and start again",
                )
            say(f"kernels to {file.path}, {file.share:.0%}")


def _jobs(file: KernelFile, source: KernelSource, side: int) -> list[SquareJob]:
    """Return a job for each square (a block of whole tiles) that is not yet complete in the file."""
    kernel, step = file.plan.kernel, file.plan.tiling.step
    width = -(-side // (step * kernel.repeat)) * step  # in samples
    all_squares = squares.squares_of(kernel.rows.samples, width)
    todo = [square for square in all_squares if squares.missing(file, square)]
    if not todo:
        return []
    forms, folder = forms_of(kernel), squares.folder_of(file.path)
    with writing(file.path):
        folder.mkdir(exist_ok=True)
    return [
        SquareJob(source, square, step, forms, squares.place_of(file, square).absolute()) for square in todo
    ]


def _plan(job: SquareJob, kernel: Kernel, parts: Mapping[str, Jacobian]) -> Assembly:
    """Plan a square in the tiles of the whole kernel, with all of its factors in memory at once.

    Raises:
        MemoryBudgetError: the budget asks for smaller tiles, or for fewer factors at a time.
    """
    plan = Assembly.from_kernel(kernel, parts, tile=job.step * kernel.repeat)
    samples = max(len(job.square.rows), len(job.square.columns))
    needed = Tiling(samples, min(job.step, samples))
    if plan.tiling != needed:
        raise MemoryBudgetError(
            f"a square of {len(job.square.rows)} by {len(job.square.columns)} samples",
            expected=f"room for the factors of {needed.panel} at a time, in tiles of {needed.step}",
            got=f"a worker's budget for {plan.tiling.panel}, in tiles of {plan.tiling.step}",
            remedy="raise ⟦--memory⟧, or take workers that have more",
        )
    return replace(plan, forms=job.forms)
