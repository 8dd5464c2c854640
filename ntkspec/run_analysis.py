"""Analyse one run file and return its `RunReport`; arguments and results can be pickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ntkspec.backend import Backend, select
from ntkspec.display import listed
from ntkspec.errors import UsageError
from ntkspec.everywhere import Everywhere, mode_pictures
from ntkspec.file_sign import place_of
from ntkspec.jacobian import Jacobian, check_outputs
from ntkspec.kernel.files import write_sums
from ntkspec.kernel.problem import Kernel, sums_of
from ntkspec.kernel.value_range import in_range, sums_in_range
from ntkspec.memory import budget_bytes, format_bytes
from ntkspec.report.compare import unique_labels
from ntkspec.report.names import snapshot_names
from ntkspec.report.places import names_in_file
from ntkspec.report.records import NO_TARGETS, NOT_ASKED, RunReport, SnapshotReport
from ntkspec.run_samples import digest, draw, drawn, kernel_of
from ntkspec.run_settings import DEFAULTS, RunSettings
from ntkspec.spectral import Method, Spectrum
from ntkspec.spectral.ablation import double_meanings, sums_of_blocks
from ntkspec.spectral.alignment import Alignment, align
from ntkspec.spectral.choose import Progress, check_options, plan, solve_all
from ntkspec.spectral.distance import Reference
from ntkspec.spectral.solvers import SOLVERS
from ntkspec.spectral.verify import verify
from ntkspec.store import Run, Snapshot, open_run
from ntkspec.store.schema import TRUTH

__all__ = ["MOST_MODES", "RunSettings", "RunWork", "analyze_run", "chosen"]

MOST_MODES = 2048  # of a kernel whose eigenvectors are computed without being asked for


def analyze_run(
    path: str | Path,
    settings: RunSettings = DEFAULTS,
    *,
    trial: bool = False,
    progress: Progress | None = None,
    detail: Progress | None = None,
) -> RunReport:
    """Analyse one run file and return its `RunReport`; write nothing.

    Without the callbacks, arguments and result can be pickled: a worker process of `concurrent.futures` may
    call it. `ntkspec.report.compare.assemble` compares the reports of several runs.

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
    """Return the snapshots to analyse, after checking that they have what the settings ask for.

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
    """Analyses run files that are open and checked."""

    settings: RunSettings
    engine: Backend
    say: Progress  # called with a line for every step
    tell: Progress | None  # called with the lines of the memory plan

    def report(
        self,
        run: Run,
        label: str,
        snapshots: Sequence[Snapshot],
        kernels: Mapping[str, Path | None] | None = None,
        everywhere: Everywhere | None = None,
    ) -> RunReport:
        """Analyse these snapshots of a run and return its `RunReport`.

        Args:
            run: an open run file.
            label: the run's label in the report.
            snapshots: of the run, as `chosen` gives them.
            kernels: snapshot id -> file to write its kernels to, if any.
            everywhere: one of the snapshots at further inputs, where its eigenfunctions are drawn.
        """
        places, numbers = kernels or {}, draw(run.samples, self.settings)
        first = self._reference(run)
        names = snapshot_names(tuple((snap.id, snap.label) for snap in snapshots))
        reported = [
            self._snapshot(run, snap, f"{label}, {name}", places.get(snap.id), first, everywhere)
            for snap, name in zip(snapshots, names, strict=True)
        ]
        warnings = _together(run, names, [lines for _, lines in reported])
        return RunReport(
            path=str(run.path),
            label=label,
            samples=len(numbers),
            outputs=snapshots[0].jacobian.outputs,
            mode=self.settings.outputs,
            snapshots=tuple(report for report, _ in reported),
            config=run.config,
            truth=run.pictures.get(TRUTH),
            warnings=(*run.warnings, *self._of_draw(run), *warnings),
            inputs=digest(run.inputs[numbers]),
            digest=run.digest,
            place=place_of(run.path),
        )

    def _of_draw(self, run: Run) -> Iterator[str]:
        """Yield a warning if not all samples were analysed, since the report states only how many were."""
        asked = self.settings
        if asked.samples is not None:
            how = f"drawn at random by seed {asked.seed}"
            yield f"{run.path}: {asked.samples} of its {run.samples} samples, {how}"

    def _reference(self, run: Run) -> Reference:
        """Return the reference of kernel distances: the run's first snapshot, even if it is not analysed."""
        first, budget = run.snapshots[0], budget_bytes(self.settings.memory)
        jacobian = drawn(first.jacobian, self.settings)
        return Reference.from_snapshot(first.id, jacobian, self.settings.drop, budget)

    def _snapshot(
        self,
        run: Run,
        snap: Snapshot,
        where: str,
        file: Path | None,
        first: Reference,
        everywhere: Everywhere | None,
    ) -> tuple[SnapshotReport, list[str]]:
        """Return the `SnapshotReport` of one snapshot, and its warnings.

        Args:
            where: names the snapshot in messages.
            file: to write its kernels to, or None.
            first: the snapshot from which distances are measured.
            everywhere: a snapshot of the run at further inputs, this one or another.
        """
        if everywhere is not None and everywhere.snapshot != snap.id:
            everywhere = None
        jacobian = drawn(snap.jacobian, self.settings)
        parts = sums_of_blocks(jacobian, self.settings.drop)
        place = f"{run.path}, snapshot {snap.id}: "
        kernels = self._kernels(jacobian, parts, where, file, place, vectors=everywhere is not None)
        kernels, out_of_range = in_range(kernels, place)
        total = kernels["total"]
        reason = self._no_vectors(run, total)
        if self.tell:
            self.tell(f"  eigenvectors of total, to align the targets with: {reason or 'computed'}")
        spectra = self._spectra(kernels, where, vectors=not reason or everywhere is not None)
        self.say(f"{where}: eigenfunctions")
        points = run.inputs[draw(run.samples, self.settings)]
        pictures, not_drawn = mode_pictures(total, spectra["total"], points, everywhere)
        alignments: dict[str, Alignment] = {}
        if not reason:
            alignments, reason = self._aligned(run, snap, jacobian, spectra["total"])
        spectra["total"] = replace(spectra["total"], vectors=None)
        self.say(f"{where}: distance from the first snapshot")
        distances = first.distances(snap.id, kernels)
        self.say(f"{where}: bounds")
        evidence = verify(kernels, spectra, thorough=self.settings.check)
        report = SnapshotReport(
            id=snap.id,
            step=snap.step,
            label=snap.label,
            metrics=snap.metrics,
            spectra=spectra,
            bounds=evidence.bounds,
            checks=evidence.checks,
            picture=run.pictures.get(snap.id),
            distances=distances,
            alignments=alignments,
            no_alignment=reason,
            eigenfunctions=pictures,
        )
        left_out = [f"left out {evidence.left_out}"] if evidence.left_out else []
        left_out += [*out_of_range, *double_meanings(jacobian, self.settings.drop)]
        return report, [*not_drawn, *_of_regions(spectra["total"]), *left_out]

    def _kernels(
        self,
        jacobian: Jacobian,
        parts: Mapping[str, Jacobian],
        where: str,
        file: Path | None,
        place: str,
        *,
        vectors: bool,
    ) -> dict[str, Kernel]:
        """Return the kernels of all sums of blocks, and write those in range to a file if there is one.

        Args:
            jacobian: of the samples to analyse.
            parts: name -> the blocks to add up.
            where: names the snapshot in messages.
            file: to write to, or None.
            place: stands before the name of a kernel that is refused.
            vectors: whether eigenvectors are needed, which not every method gives.
        """
        asked = self.settings
        kernel = kernel_of(jacobian, asked, self.engine)
        check_options(kernel, asked.method, asked.k, vectors=vectors)
        if self.tell:
            for line in plan(where, kernel, asked.k):
                self.tell(line)
        if file:
            kept, _ = sums_in_range(kernel, parts, place)
            write_sums(
                file,
                kernel,
                names_in_file(kept),
                lambda share: self.say(f"{where}: kernels to {file}, {share:.0%}"),
            )
        self.say(f"{where}: reading")
        return sums_of(kernel, parts)

    def _spectra(self, kernels: Mapping[str, Kernel], where: str, *, vectors: bool) -> dict[str, Spectrum]:
        """Compute the spectra of all sums of blocks, with eigenvectors of the total kernel alone.

        The total kernel comes last, so that its eigenvectors take no memory from the others.
        """
        asked = self.settings
        spectra: dict[str, Spectrum] = {}
        for name, kernel in sorted(kernels.items(), key=lambda item: item[0] == "total"):
            spectra |= solve_all(
                {name: kernel},
                asked.method,
                asked.k,
                vectors=vectors and name == "total",
                progress=lambda step: self.say(f"{where}: {step}"),
            )
        return {name: spectra[name] for name in kernels}

    def _no_vectors(self, run: Run, total: Kernel) -> str:
        """Return why the total kernel's eigenvectors are not computed, or "" where they are."""
        asked = self.settings
        methods: tuple[Method, ...] = ("gram", "svd") if asked.method == "auto" else (asked.method,)
        if asked.alignment == "never":
            return NOT_ASKED
        if not run.has_targets:
            return NO_TARGETS
        if asked.alignment == "always":
            return ""
        if not all(SOLVERS[method].vectors for method in methods):
            return f"method {asked.method} gives no eigenvectors"
        if total.size > MOST_MODES:
            return (
                f"of {total.size} modes, more than {MOST_MODES}, eigenvectors take long; "
                "alignment 'always' computes them"
            )
        needs = [SOLVERS[method].need(total, asked.k, vectors=True) for method in methods]
        if not all(need.fits for need in needs):
            needed = format_bytes(max(need.needed for need in needs))
            return f"eigenvectors need {needed}, more than {total.limit}"
        return ""

    def _aligned(
        self, run: Run, snap: Snapshot, jacobian: Jacobian, total: Spectrum
    ) -> tuple[dict[str, Alignment], str]:
        """Return a dict with the total kernel's alignment, and a text: why there is none, or ""."""
        numbers, targets = draw(run.samples, self.settings), run.targets
        if targets is None:
            return {}, NO_TARGETS
        try:
            aligned = align(total, targets[numbers], snap.outputs[numbers], jacobian, self.settings.outputs)
        except UsageError as error:  # targets that are the same everywhere; the spectra are still reported
            return {}, error.fault
        return {"total": aligned}, ""


def _together(run: Run, names: Sequence[str], warnings: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the warnings of all snapshots, each line once, with how many snapshots share it.

    Args:
        run: to which the snapshots belong.
        names: of the snapshots.
        warnings: lines, of each snapshot.
    """
    names_by_line: dict[str, list[str]] = {}
    for name, lines in zip(names, warnings, strict=True):
        for line in lines:
            names_by_line.setdefault(line, []).append(name)
    for line, sharing in names_by_line.items():
        more = f" and {len(sharing) - 1} more" if len(sharing) > 1 else ""
        yield f"{run.path}, {sharing[0]}{more}: {line}"


def _of_regions(total: Spectrum) -> list[str]:
    if not (total.regions and total.regions.disobeying):
        return []
    return [
        "activation regions say nothing of the gradients of some parameters, so that the bound on the rank "
        f"that follows from them is larger than it might be: {listed(total.regions.disobeying)}"
    ]
