"""Analyse one snapshot of an open run file: kernels, spectra, eigenfunctions, distances and bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import Backend
from ntkspec.display import listed
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.files import write_sums
from ntkspec.kernel.problem import Kernel, sums_of
from ntkspec.kernel.value_range import in_range, sums_in_range
from ntkspec.machine.memory import format_bytes
from ntkspec.report.places import names_in_file
from ntkspec.report.records import NO_TARGETS, NOT_ASKED, SnapshotReport
from ntkspec.runs.everywhere import Everywhere, mode_pictures
from ntkspec.runs.settings import MOST_MODES, RunSettings, drawn, kernel_of
from ntkspec.spectral import Method, Spectrum
from ntkspec.spectral.ablation import double_meanings, sums_of_blocks
from ntkspec.spectral.alignment import Alignment, align
from ntkspec.spectral.choose import Progress, check_options, plan, solve_all
from ntkspec.spectral.distance import Reference
from ntkspec.spectral.solvers import SOLVERS
from ntkspec.spectral.verify import verify
from ntkspec.store import Run, Snapshot


@dataclass(frozen=True, eq=False)
class SnapshotWork:
    """Analyses one snapshot of a run file that is open and checked."""

    run: Run
    snap: Snapshot
    name: str  # of the run and the snapshot, for the lines of the work
    settings: RunSettings
    engine: Backend
    numbers: NDArray[np.intp]  # of the samples to analyse, as `draw` gives them
    say: Progress  # called with a line for every step
    tell: Progress | None  # called with the lines of the memory plan
    told: dict[str, object]  # what was told last, at this snapshot or one before it, by what it is about

    def report(
        self, first: Reference, file: Path | None, everywhere: Everywhere | None
    ) -> tuple[SnapshotReport, list[str]]:
        """Return the `SnapshotReport` and the warnings.

        Args:
            first: the snapshot from which distances are measured.
            file: to write the kernels to, or None.
            everywhere: this snapshot at further inputs, where eigenfunctions are drawn, or None.
        """
        snap, drop = self.snap, self.settings.drop
        jacobian = drawn(snap.jacobian, self.settings)
        kernels, out_of_range = self._kernels(jacobian, file)
        total = kernels["total"]
        reason = self._no_vectors(total)
        self._tell(
            "eigenvectors",
            reason,
            [f"  eigenvectors of total, to align the targets with: {reason or 'computed'}"],
        )
        spectra = self._spectra(kernels, vectors=not reason or everywhere is not None)
        self._step("eigenfunctions")
        points = self.run.inputs[self.numbers]
        pictures, not_drawn = mode_pictures(total, spectra["total"], points, everywhere)
        alignments: dict[str, Alignment] = {}
        if not reason:
            alignments, reason = self._aligned(jacobian, spectra["total"])
        spectra["total"] = replace(spectra["total"], vectors=None)
        self._step("distance from the first snapshot")
        distances = first.distances(snap.id, kernels)
        self._step("bounds")
        evidence = verify(kernels, spectra, thorough=self.settings.check)
        report = SnapshotReport(
            id=snap.id,
            step=snap.step,
            label=snap.label,
            metrics=snap.metrics,
            spectra=spectra,
            bounds=evidence.bounds,
            checks=evidence.checks,
            picture=self.run.pictures.get(snap.id),
            distances=distances,
            alignments=alignments,
            no_alignment=reason,
            eigenfunctions=pictures,
        )
        left_out = [f"left out {evidence.left_out}"] if evidence.left_out else []
        left_out += [*out_of_range, *double_meanings(jacobian, drop)]
        return report, [*not_drawn, *_of_regions(spectra["total"]), *left_out]

    def _step(self, step: str) -> None:
        self.say(f"{self.name}: {step}")

    def _tell(self, about: str, of: object, lines: Iterable[str]) -> None:
        """Tell lines of the memory plan, unless the snapshot before had them of the same."""
        if self.tell and self.told.get(about) != of:
            self.told[about] = of
            for line in lines:
                self.tell(line)

    def _kernels(self, jacobian: Jacobian, file: Path | None) -> tuple[dict[str, Kernel], list[str]]:
        """Return the kernels of all sums of blocks that are in range, and a line for each of the others.

        Args:
            jacobian: of the samples to analyse.
            file: to write them to, or None.
        """
        asked, where = self.settings, f"{self.run.path}, snapshot {self.snap.id}: "
        kernel, parts = kernel_of(jacobian, asked, self.engine), sums_of_blocks(jacobian, asked.drop)
        check_options(kernel, asked.method, asked.k, vectors=False)
        if self.tell:
            title, *lines = plan(self.name, kernel, asked.k)
            needs = tuple(solver.need(kernel, asked.k) for solver in SOLVERS.values())
            self.tell(f"{title}: as before" if self.told.get("solvers") == needs else title)
            self._tell("solvers", needs, lines)
        if file:  # before the factors are loaded, since both may not fit
            kept, _ = sums_in_range(kernel, parts, where)
            write_sums(
                file,
                kernel,
                names_in_file(kept),
                lambda share: self._step(f"kernels to {file}, {share:.0%}"),
            )
        self._step("reading")
        return in_range(sums_of(kernel, parts), where)

    def _spectra(self, kernels: Mapping[str, Kernel], *, vectors: bool) -> dict[str, Spectrum]:
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
                progress=self._step,
            )
        return {name: spectra[name] for name in kernels}

    def _no_vectors(self, total: Kernel) -> str:
        """Return why the total kernel's eigenvectors are not computed, or "" where they are."""
        asked = self.settings
        methods: tuple[Method, ...] = ("gram", "svd") if asked.method == "auto" else (asked.method,)
        if asked.alignment == "never":
            return NOT_ASKED
        if not self.run.has_targets:
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

    def _aligned(self, jacobian: Jacobian, total: Spectrum) -> tuple[dict[str, Alignment], str]:
        """Return a dict with the total kernel's alignment, and a text: why there is none, or ""."""
        targets, rows = self.run.targets, self.numbers
        if targets is None:
            return {}, NO_TARGETS
        try:
            aligned = align(total, targets[rows], self.snap.outputs[rows], jacobian, self.settings.outputs)
        except UsageError as error:  # targets that are the same everywhere; the spectra are still reported
            return {}, error.fault
        return {"total": aligned}, ""


def _of_regions(total: Spectrum) -> Iterator[str]:
    """Yield a warning if parameters loosen the bound on the rank that follows from activation regions."""
    if total.regions and total.regions.disobeying:
        yield (
            "activation regions say nothing of the gradients of some parameters, so that the bound on the "
            f"rank that follows from them is larger than it might be: {listed(total.regions.disobeying)}"
        )
