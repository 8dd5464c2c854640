"""Analyse one run file and return its `RunReport`; arguments and results can be pickled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ntkspec.backend import Backend, select
from ntkspec.jacobian import check_outputs
from ntkspec.machine.file_sign import place_of
from ntkspec.machine.memory import budget_bytes
from ntkspec.report.compare import unique_labels
from ntkspec.report.names import snapshot_names
from ntkspec.report.records import RunReport
from ntkspec.runs.everywhere import Everywhere
from ntkspec.runs.settings import DEFAULTS, RunSettings, digest, draw, drawn
from ntkspec.runs.snapshot import SnapshotWork
from ntkspec.spectral.ablation import sums_of_blocks
from ntkspec.spectral.choose import Progress
from ntkspec.spectral.distance import Reference
from ntkspec.store import Run, Snapshot, open_run
from ntkspec.store.schema import TRUTH

__all__ = ["RunSettings", "RunWork", "analyze_run", "chosen"]


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
        kernels: Mapping[str, Path] | None = None,
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
        names = snapshot_names([(snap.id, snap.label) for snap in snapshots])
        reported, told = [], dict[str, object]()
        for snap, name in zip(snapshots, names, strict=True):
            work = SnapshotWork(
                run, snap, f"{label}, {name}", self.settings, self.engine, numbers, self.say, self.tell, told
            )
            pixels = everywhere if everywhere and everywhere.snapshot == snap.id else None
            reported.append(work.report(first, places.get(snap.id), pixels))
        warnings = _together(run, names, [lines for _, lines in reported])
        outputs = snapshots[0].jacobian.outputs
        return RunReport(
            path=str(run.path),
            label=label,
            samples=len(numbers),
            outputs=outputs,
            mode=check_outputs(self.settings.outputs, outputs),
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
