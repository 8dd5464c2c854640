"""From one run file to what a report says of it: arguments and results that travel between processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import Backend, Choice, Precision, select
from ntkspec.counts import whole_number
from ntkspec.errors import UsageError
from ntkspec.everywhere import Everywhere, mode_pictures
from ntkspec.jacobian import Jacobian, Outputs, check_outputs
from ntkspec.kernel.files import write_sums
from ntkspec.kernel.problem import Kernel, sums_of
from ntkspec.memory import budget_bytes, format_bytes
from ntkspec.report.compare import unique_labels
from ntkspec.report.names import snapshot_names
from ntkspec.report.places import names_in_file
from ntkspec.report.records import RunReport, SnapshotReport
from ntkspec.spectral import Method, MethodChoice, Spectrum
from ntkspec.spectral.ablation import sums_of_blocks
from ntkspec.spectral.alignment import Alignment, align
from ntkspec.spectral.choose import Progress as Progress
from ntkspec.spectral.choose import check_options, plan, solve_all
from ntkspec.spectral.distance import Reference
from ntkspec.spectral.solvers import SOLVERS
from ntkspec.spectral.verify import verify
from ntkspec.store import Run, Snapshot, open_run
from ntkspec.store.schema import TRUTH

When = Literal["auto", "always", "never"]
MOST_MODES = 2048  # of a kernel whose eigenvectors are computed without being asked for


@dataclass(frozen=True)
class RunSettings:
    """How a run file is analysed: plain values, so that it can be pickled and compared.

    Raises:
        UsageError: a second computation, or an alignment, is asked for where it cannot be had.
    """

    snapshot: str = "all"  # an id or label, or "all"
    method: MethodChoice = "auto"
    k: int | None = None  # only the largest
    outputs: Outputs = "trace"
    drop: tuple[tuple[str, ...], ...] = ()  # further ablations: roles or blocks to leave out
    backend: Choice = "auto"
    precision: Precision = "float64"
    memory: float | None = None  # GiB
    check: bool = False  # compute every total kernel and spectrum in a second way, too
    samples: int | None = None  # so many of the run's, drawn at random; None: all
    seed: int = 0  # of that draw
    alignment: When = "auto"  # whether to look where the targets lie, which takes the eigenvectors

    def __post_init__(self) -> None:
        if self.check and (self.k is not None or not _gives_all(self.method)):
            raise UsageError(
                "--check",
                expected="all eigenvalues",
                got="the largest k alone"
                if self.k is not None
                else f"method {self.method}, the largest alone",
                remedy="leave out -k, --check, or the method",
            )
        if self.alignment not in get_args(When):
            raise UsageError(
                "--alignment",
                expected=" or ".join(get_args(When)),
                got=repr(self.alignment),
                remedy="choose one of these",
            )
        if self.alignment == "always" and not _gives_vectors(self.method):
            able = [name for name, solver in SOLVERS.items() if solver.vectors]
            raise UsageError(
                "--alignment always",
                expected=f"method auto or {' or '.join(able)}, which give eigenvectors",
                got=f"method {self.method}",
                remedy="leave out the method, or --alignment",
            )


def _gives_all(method: MethodChoice) -> bool:
    return method == "auto" or method not in SOLVERS or SOLVERS[method].complete  # others are refused later


def _gives_vectors(method: MethodChoice) -> bool:
    return method == "auto" or method not in SOLVERS or SOLVERS[method].vectors


def analyze_run(
    path: str | Path,
    settings: RunSettings = RunSettings(),
    *,
    trial: bool = False,
    progress: Progress | None = None,
    detail: Progress | None = None,
) -> RunReport:
    """Return what a report says of one run file; nothing is written.

    Without the callbacks, arguments and result can be pickled: a worker process of `concurrent.futures` may
    call it. What several runs have to say to each other follows from their reports, see
    `ntkspec.report.compare.assemble`.

    Args:
        path: the run file.
        settings: how it is analysed.
        trial: read the file in another process first; see `ntkspec.open_run`.
        progress: called with a line for every step of the work.
        detail: called with the lines of the memory plan, before anything is allocated.

    Raises:
        NtkspecError: a bad file or bad settings.

    Example:
        >>> analyze_run("data/golden/mpe.h5", RunSettings(k=3)).snapshots[0].spectra["total"].size
        40
    """
    with open_run(path, memory=settings.memory, trial=trial) as run:
        snapshots = chosen(run, settings)
        run.check_values()
        (label,) = unique_labels([(run.label, run.path)])
        work = RunWork(settings, select(settings.backend), progress or (lambda _: None), detail)
        return work.report(run, label, snapshots)


def chosen(run: Run, settings: RunSettings) -> tuple[Snapshot, ...]:
    """Return the snapshots to analyse; refuse what they cannot give.

    Raises:
        UsageError: there is no such snapshot, output or block.
    """
    snapshots = run.snapshots if settings.snapshot == "all" else (run.snapshot(settings.snapshot),)
    draw(run.samples, settings)
    for snap in snapshots:
        check_outputs(settings.outputs, snap.jacobian.outputs)
        sums_of_blocks(snap.jacobian, settings.drop)
    return snapshots


@dataclass(frozen=True)
class RunWork:
    """The analysis of run files that are open and were checked."""

    settings: RunSettings
    engine: Backend
    say: Progress
    tell: Progress | None  # of the memory plan

    def report(
        self,
        run: Run,
        label: str,
        snapshots: Sequence[Snapshot],
        kernels: Mapping[str, Path | None] | None = None,
        everywhere: Everywhere | None = None,
    ) -> RunReport:
        """Return what a report says of these snapshots.

        Args:
            run: an open run file.
            label: the run's own in the report.
            snapshots: of the run, as `chosen` gives them.
            kernels: snapshot id -> file to write its kernels to, if any.
            everywhere: one of the snapshots at further inputs, where its eigenfunctions are drawn.
        """
        places, drawn = kernels or {}, draw(run.samples, self.settings)
        first = self._reference(run)
        names = snapshot_names(tuple((snap.id, snap.label) for snap in snapshots))
        found = [
            self._snapshot(run, snap, label, name, places.get(snap.id), first, _of_snapshot(snap, everywhere))
            for snap, name in zip(snapshots, names, strict=True)
        ]
        said = [lines for _, lines in found]
        return RunReport(
            path=str(run.path),
            label=label,
            samples=len(drawn),
            outputs=snapshots[0].jacobian.outputs,
            mode=self.settings.outputs,
            snapshots=tuple(report for report, _ in found),
            config=run.config,
            truth=run.pictures.get(TRUTH),
            warnings=(*run.warnings, *self._of_draw(run), *_together(run, names, said)),
            inputs=digest(run.inputs[drawn]),
        )

    def _of_draw(self, run: Run) -> Iterator[str]:
        """Say that these are not all samples: whoever reads the report sees n alone."""
        asked = self.settings
        if asked.samples is not None:
            how = f"drawn at random by seed {asked.seed}"
            yield f"{run.path}: {asked.samples} of its {run.samples} samples, {how}"

    def _reference(self, run: Run) -> Reference:
        """The run's first snapshot, whichever are analysed: distances are measured from it."""
        first, budget = run.snapshots[0], budget_bytes(self.settings.memory)
        jacobian = drawn(first.jacobian, self.settings)
        return Reference.from_snapshot(first.id, jacobian, self.settings.drop, budget)

    def _snapshot(
        self,
        run: Run,
        snap: Snapshot,
        label: str,
        name: str,
        kernels: Path | None,
        first: Reference,
        everywhere: Everywhere | None,
    ) -> tuple[SnapshotReport, list[str]]:
        """What a report says of one snapshot, and what to warn of."""
        where = f"{label}, {name}"
        asked = self.settings
        jacobian = drawn(snap.jacobian, asked)
        parts = sums_of_blocks(jacobian, asked.drop)
        kernel = kernel_of(jacobian, asked, self.engine)
        if self.tell:
            for line in plan(where, kernel, asked.k):
                self.tell(line)
        if kernels:
            write_sums(
                kernels,
                kernel,
                names_in_file(parts),
                lambda share: self.say(f"{where}: kernels to {kernels}, {share:.0%}"),
            )
        check_options(kernel, asked.method, asked.k, vectors=everywhere is not None)
        self.say(f"{where}: reading")
        summed = sums_of(kernel, parts)
        reason = self._no_vectors(run, summed["total"])
        if self.tell:
            self.tell(f"  eigenvectors of total, to align the targets with: {reason or 'computed'}")
        found = self._spectra(summed, where, vectors=not reason or everywhere is not None)
        self.say(f"{where}: eigenfunctions")
        points = run.inputs[draw(run.samples, asked)]
        pictures, warned = mode_pictures(summed["total"], found["total"], points, everywhere)
        alignments: dict[str, Alignment] = {}
        if not reason:
            alignments, reason = self._aligned(run, snap, jacobian, found["total"])
        found["total"] = replace(found["total"], vectors=None)
        self.say(f"{where}: distance from the first snapshot")
        distances = first.distances(snap.id, summed)
        self.say(f"{where}: bounds")
        evidence = verify(summed, found, thorough=asked.check)
        report = SnapshotReport(
            id=snap.id,
            step=snap.step,
            label=snap.label,
            metrics=snap.metrics,
            spectra=found,
            bounds=evidence.bounds,
            checks=evidence.checks,
            picture=run.pictures.get(snap.id),
            distances=distances,
            alignments=alignments,
            no_alignment=reason,
            eigenfunctions=pictures,
        )
        said = [*warned, *_of_regions(found["total"])]
        if evidence.left_out:
            said.append(f"left out {evidence.left_out}")
        return report, said

    def _spectra(self, kernels: Mapping[str, Kernel], where: str, *, vectors: bool) -> dict[str, Spectrum]:
        """The spectra of all sums of blocks; eigenvectors are of the total kernel alone.

        It comes last, lest they take memory from the others.
        """
        asked = self.settings
        found: dict[str, Spectrum] = {}
        for name, kernel in sorted(kernels.items(), key=lambda item: item[0] == "total"):
            found |= solve_all(
                {name: kernel},
                asked.method,
                asked.k,
                vectors=vectors and name == "total",
                progress=lambda step: self.say(f"{where}: {step}"),
            )
        return {name: found[name] for name in kernels}

    def _no_vectors(self, run: Run, total: Kernel) -> str:
        """Say why the total kernel's eigenvectors are not computed, or "" where they are."""
        asked = self.settings
        methods: tuple[Method, ...] = ("gram", "svd") if asked.method == "auto" else (asked.method,)
        if asked.alignment == "never":
            return "--alignment never leaves it out"
        if not run.has_targets:
            return "the run file has no targets"
        if asked.alignment == "always":
            return ""
        if not all(SOLVERS[method].vectors for method in methods):
            return f"method {asked.method} gives no eigenvectors"
        if total.size > MOST_MODES:
            return (
                f"of {total.size} modes, more than {MOST_MODES}, eigenvectors take long; "
                "--alignment always computes them"
            )
        needs = [SOLVERS[method].need(total, asked.k, vectors=True) for method in methods]
        if not all(need.fits for need in needs):
            needed = format_bytes(max(need.needed for need in needs))
            return f"eigenvectors need {needed}, more than {total.limit}"
        return ""

    def _aligned(
        self, run: Run, snap: Snapshot, jacobian: Jacobian, total: Spectrum
    ) -> tuple[dict[str, Alignment], str]:
        """The alignment of the total kernel, or why there is none, from its spectrum with eigenvectors."""
        numbers, targets = draw(run.samples, self.settings), run.targets
        if targets is None:
            return {}, "the run file has no targets"
        try:
            found = align(total, targets[numbers], snap.outputs[numbers], jacobian, self.settings.outputs)
        except UsageError as error:  # of targets that are the same everywhere; the spectra stay
            return {}, str(error)
        return {"total": found}, ""


def _of_snapshot(snap: Snapshot, everywhere: Everywhere | None) -> Everywhere | None:
    return everywhere if everywhere is not None and everywhere.snapshot == snap.id else None


def _together(run: Run, names: Sequence[str], said: Sequence[Sequence[str]]) -> Iterator[str]:
    """What is said of each snapshot, a line that several share once, with how many they are."""
    of: dict[str, list[str]] = {}
    for name, lines in zip(names, said, strict=True):
        for line in lines:
            of.setdefault(line, []).append(name)
    for line, sharing in of.items():
        more = f" and {len(sharing) - 1} more" if len(sharing) > 1 else ""
        yield f"{run.path}, {sharing[0]}{more}: {line}"


def draw(samples: int, settings: RunSettings) -> NDArray[np.intp]:
    """Return the numbers of the samples to analyse, ascending: all, or as many as asked for, at random.

    Runs of as many samples give the same ones for the same seed.

    Raises:
        UsageError: there are fewer.

    Example:
        >>> draw(10, RunSettings(samples=3, seed=1)).tolist()
        [3, 4, 7]
    """
    if settings.samples is None:
        return np.arange(samples)
    wanted = whole_number(settings.samples, "--samples", 1)
    if wanted > samples:
        raise UsageError(
            "--samples", expected=f"at most the run's {samples}", got=str(wanted), remedy="ask for fewer"
        )
    seed = whole_number(settings.seed, "--seed", 0)
    return np.sort(np.random.default_rng(seed).choice(samples, wanted, replace=False))


def drawn(jacobian: Jacobian, settings: RunSettings, part: range | None = None) -> Jacobian:
    """Return the Jacobian of the samples to analyse, or of some that follow each other among these.

    Args:
        jacobian: of all samples of the run.
        part: numbers among the samples to analyse, from 0; these are then in memory.
    """
    if settings.samples is not None:
        numbers = draw(jacobian.samples, settings)
        return jacobian.rows(numbers if part is None else numbers[part.start : part.stop])
    return jacobian if part is None else jacobian.load(part.start, part.stop)


def kernel_of(
    jacobian: Jacobian, settings: RunSettings, engine: Backend, columns: Jacobian | None = None
) -> Kernel:
    """Describe the kernel of these samples as the settings want it; see `Kernel`."""
    budget = budget_bytes(settings.memory)
    return Kernel(jacobian, columns, settings.outputs, settings.precision, engine, budget)


def digest(inputs: NDArray[Any]) -> str:
    """Return what is equal for equal coordinates (n, d) and for no others, whatever their precision.

    Example:
        >>> digest(np.zeros((2, 1), dtype=np.float32)) == digest(-np.zeros((2, 1)))
        True
    """
    numbers = np.ascontiguousarray(inputs, dtype="<f8") + 0.0  # of which -0 is 0
    return blake2b(repr(inputs.shape).encode() + numbers.tobytes(), digest_size=16).hexdigest()


def _of_regions(total: Spectrum) -> list[str]:
    if not (total.regions and total.regions.disobeying):
        return []
    return [
        "the regions say nothing of blocks that do not keep to them, or have no first layer's left factor to "
        f"refer to: {', '.join(total.regions.disobeying)}"
    ]
