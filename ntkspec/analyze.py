"""python -m ntkspec.analyze: run files in, spectra, bounds and a report out."""

from __future__ import annotations

if __name__ == "__main__":  # before NumPy and SciPy take their half second
    from ntkspec.cli import begin

    begin(trials=True)

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ntkspec import sandbox
from ntkspec._version import __version__
from ntkspec.backend import Backend, Choice, Precision, select
from ntkspec.cli import DONE, FAILED, Parser, console, positive, run_command
from ntkspec.errors import UsageError
from ntkspec.evidence import Settings, gather
from ntkspec.jacobian import Jacobian, Outputs, check_outputs
from ntkspec.kernel_file import write_kernels
from ntkspec.memory import budget_bytes
from ntkspec.report.compare import compare_runs, find_baseline, unique_labels
from ntkspec.report.data import Report, RunReport, SnapshotReport
from ntkspec.report.names import snapshot_names
from ntkspec.report.places import Places, kernel_files, names_in_file
from ntkspec.spectral import MethodChoice, plan, spectra
from ntkspec.spectral.ablation import sums_of_blocks
from ntkspec.store import Run, Snapshot, open_run
from ntkspec.store.schema import TRUTH

EXAMPLE = """\
examples:
  python -m ntkspec.analyze run.h5
  python -m ntkspec.analyze baseline.h5 mpe-fine.h5 -o report/ --baseline baseline
  python -m ntkspec.analyze run.h5 --snapshot end --method svd --drop grid --drop mlp.layers.0
"""
Progress = Callable[[str], None]


def analyze_runs(
    paths: Sequence[str | Path],
    *,
    snapshot: str = "all",
    method: MethodChoice = "auto",
    k: int | None = None,
    outputs: Outputs = "trace",
    drop: Sequence[Sequence[str]] = (),
    baseline: str | None = None,
    backend: Choice | Backend = "auto",
    precision: Precision = "float64",
    memory: float | None = None,
    check: bool = False,
    kernels: str | Path | None = None,
    trial: bool = False,
    progress: Progress | None = None,
    detail: Progress | None = None,
) -> Report:
    """Spectra, ablations, bounds and comparisons of run files.

    Args:
        paths: run files; two or more are compared with the baseline.
        snapshot: an id or label, or "all".
        drop: further ablations, each a set of roles or block names to leave out.
        baseline: label of the run to compare with; default: the one called "baseline", else the first.
        check: compute every total kernel and spectrum in a second way too, and compare.
        kernels: folder to write every kernel to, in <run>-<snapshot id>.h5; see `ntkspec.write_kernels`.
        trial: read the files in another process first, as the command does; see `ntkspec.open_run`.
        progress: called with a line for every step of the work.
        detail: called with the lines of the memory plan, before anything is allocated.
        method, k, outputs, backend, precision, memory: as for `ntkspec.spectrum`.

    Raises:
        NtkspecError: bad files or arguments; nothing is computed before every file was opened.
    """
    if check and (k is not None or method == "lanczos"):
        raise UsageError(
            "--check", expected="all eigenvalues", got="the largest k alone", remedy="leave out -k or --check"
        )
    engine = select(backend)
    options = {
        "outputs": outputs,
        "method": method,
        "k": k,
        "backend": engine,
        "precision": precision,
        "memory": memory,
    }
    if not paths:
        raise UsageError("analyze", expected="one or more run files", got="none", remedy="name a run file")
    say = progress or (lambda _: None)
    with contextlib.ExitStack() as stack:
        trials = stack.enter_context(contextlib.ExitStack())
        trials.enter_context(sandbox.server("ntkspec.store"))
        runs = [stack.enter_context(open_run(path, memory=memory, trial=trial)) for path in paths]
        labels = unique_labels([(run.label, run.path) for run in runs])
        own = [run.label for run in runs]
        reference = find_baseline(labels, own, [run.config for run in runs], baseline)
        chosen = [run.snapshots if snapshot == "all" else (run.snapshot(snapshot),) for run in runs]
        for snap in (snap for snaps in chosen for snap in snaps):
            check_outputs(outputs, snap.jacobian.outputs)
            sums_of_blocks(snap.jacobian, drop)  # refuses what is to be dropped and is not there
        ids = [[snap.id for snap in snaps] for snaps in chosen]
        kernel_places = [dict.fromkeys(of_run) for of_run in ids]
        if kernels is not None:
            kernel_places = stack.enter_context(kernel_files([run.path for run in runs], ids, Path(kernels)))
        for run in runs:
            run.check_values()
        trials.close()
        warnings = _sample_warnings(runs)
        reports = [
            _run_report(run, label, snaps, _Wishes(drop, options, check, places, say, detail))
            for run, label, snaps, places in zip(runs, labels, chosen, kernel_places, strict=True)
        ]
    reports[0] = replace(reports[0], warnings=(*reports[0].warnings, *warnings))
    return Report(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        producer=f"ntkspec {__version__}",
        backend=engine.name,
        runs=tuple(reports),
        comparisons=compare_runs(reports, reference) if len(reports) > 1 else (),
        baseline=labels[reference] if len(reports) > 1 else None,
    )


@dataclass(frozen=True)
class _Wishes:
    """What to do with every snapshot of a run."""

    drop: Sequence[Sequence[str]]
    options: dict[str, Any]  # of `spectra`
    check: bool
    kernels: Mapping[str, Path | None]  # snapshot id -> file to write its kernels to
    say: Progress
    tell: Progress | None  # of the memory plan

    def of_kernels(self) -> dict[str, Any]:
        """The options that assembling has, too."""
        return {name: self.options[name] for name in ("outputs", "precision", "backend", "memory")}


def _run_report(run: Run, label: str, snapshots: Sequence[Snapshot], wishes: _Wishes) -> RunReport:
    left_out: list[str] = []
    options, say = wishes.options, wishes.say
    keys = tuple((snap.id, snap.label) for snap in snapshots)
    names = dict(zip((id for id, _ in keys), snapshot_names(keys), strict=True))

    def snapshot_report(snap: Snapshot) -> SnapshotReport:
        name = f"{label}, {names[snap.id]}"
        parts = sums_of_blocks(snap.jacobian, wishes.drop)
        if wishes.tell:
            _tell_plan(name, snap.jacobian, wishes.options, wishes.tell)
        if path := wishes.kernels[snap.id]:
            write_kernels(
                path,
                names_in_file(parts),
                **wishes.of_kernels(),
                progress=lambda share: say(f"{name}: kernels to {path}, {share:.0%}"),
            )
        found = spectra(parts, **options, progress=lambda step: say(f"{name}: {step}"))
        say(f"{name}: bounds")
        settings = Settings(options["outputs"], options["backend"], options["memory"], thorough=wishes.check)
        evidence = gather(parts, found, settings)
        total = found["total"].regions
        if total and total.disobeying:
            left_out.append(
                f"{run.path}, {names[snap.id]}: the regions say nothing of blocks that do not keep to them, "
                f"or have no first layer's left factor to refer to: {', '.join(total.disobeying)}"
            )
        if evidence.left_out:
            left_out.append(f"{run.path}, {names[snap.id]}: left out {evidence.left_out}")
        return SnapshotReport(
            id=snap.id,
            step=snap.step,
            label=snap.label,
            metrics=snap.metrics,
            spectra=found,
            bounds=evidence.bounds,
            checks=evidence.checks,
            picture=run.pictures.get(snap.id),
        )

    reported = tuple(snapshot_report(snap) for snap in snapshots)
    return RunReport(
        path=str(run.path),
        label=label,
        samples=run.samples,
        outputs=snapshots[0].jacobian.outputs,
        mode=options["outputs"],
        snapshots=reported,
        config=run.config,
        truth=run.pictures.get(TRUTH),
        warnings=(*run.warnings, *left_out),
    )


def _tell_plan(name: str, jacobian: Jacobian, ask: dict[str, Any], tell: Progress) -> None:
    budget = budget_bytes(ask["memory"])
    needs = plan.plan(jacobian, ask["outputs"], ask["precision"], ask["backend"], budget)
    for line in plan.lines(name, needs, budget):
        tell(line)


def _sample_warnings(runs: Sequence[Run]) -> list[str]:
    """Spectra of different samples are not comparable eigenvalue by eigenvalue: say so."""
    first = runs[0]
    warnings = []
    for run in runs[1:]:
        if not np.array_equal(run.inputs, first.inputs):
            warnings.append(
                f"{run.path}: its samples are not those of {first.path}; lambda_min depends on them"
            )
        outputs = [other.snapshots[-1].jacobian.outputs for other in (run, first)]
        if outputs[0] != outputs[1]:
            warnings.append(f"{run.path}: {outputs[0]} outputs, {first.path} has {outputs[1]}; not compared")
    return warnings


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run_command(lambda: _analyze(_parser().parse_args(argv)))


def _analyze(options: argparse.Namespace) -> int:
    from ntkspec.report.summary import failures
    from ntkspec.report.terminal import print_report
    from ntkspec.report.write import write_json_file, write_report

    folder = options.output or Path(f"{Path(options.runs[0]).stem}-report")
    Places(folder, options.json, options.kernels).check(options.runs)
    with _progress(quiet=options.quiet) as progress:
        report = analyze_runs(
            options.runs,
            snapshot=options.snapshot,
            method=options.method,
            k=options.k,
            outputs=options.outputs,
            drop=options.drop,
            baseline=options.baseline,
            backend=options.backend,
            precision=options.precision,
            memory=options.memory,
            check=options.check,
            kernels=options.kernels,
            trial=True,
            progress=progress,
            detail=console(stderr=True).out if options.verbose and not options.quiet else None,
        )
        progress("drawing the report")
        write_report(report, folder)
        if options.json:
            write_json_file(report, options.json)
    if not options.quiet:
        stdout = console()
        print_report(report, stdout)
        stdout.print(f"Report: {folder / 'index.html'}", soft_wrap=True, highlight=False, markup=False)
    return FAILED if failures(report) else DONE


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress]:
    """A status line on a terminal; nothing where stderr is a file."""
    stderr = console(stderr=True)
    if quiet or not stderr.is_terminal:
        yield lambda _: None
        return
    from rich.markup import escape

    spinner = "dots" if stderr.encoding.lower().startswith("utf") else "line"
    with stderr.status("opening", spinner=spinner) as status:
        yield lambda text: status.update(escape(text))


def _outputs(text: str) -> Outputs:
    if text in ("trace", "full"):
        return text  # type: ignore[return-value]  # mypy does not narrow str by `in`
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected trace, full or an output's number, got {text!r}"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m ntkspec.analyze",
        description="Spectra, ablations and bounds of the neural tangent kernel in run files, as a report.",
        epilog=EXAMPLE,
    )
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN.h5", help="run files; several are compared")
    add("-o", "--output", type=Path, metavar="DIR", help="report folder (default: <first run>-report/)")
    add("--json", type=Path, metavar="FILE", help="write report.json to this file too")
    add("--snapshot", default="all", metavar="ID|LABEL|all", help="which snapshots (default: all)")
    add(
        "--method",
        default="auto",
        choices=get_args(MethodChoice),
        help="route to the eigenvalues; auto: gram, or cholesky where a large kernel is of low rank, then "
        "svd where these resolve too little (default)",
    )
    add("-k", type=positive(int), metavar="K", help="only the K largest eigenvalues")
    add("--outputs", type=_outputs, default="trace", metavar="trace|full|INT", help="output mode")
    add(
        "--drop",
        action="append",
        nargs="+",
        default=[],
        metavar="ROLE|BLOCK",
        help="also analyse the kernel without these (run files come first); may be repeated",
    )
    add("--baseline", metavar="LABEL", help="label of the run to compare with")
    add("--backend", default="auto", choices=("auto", "cpu", "gpu"), help="what runs the arithmetic")
    add("--precision", default="float64", choices=("float64", "float32"), help="of the kernel")
    add("--memory", type=positive(float), metavar="GIB", help="memory budget (default: 80%% of what is free)")
    add(
        "--check",
        action="store_true",
        help="compute every total kernel and spectrum in a second way, and report how far they differ",
    )
    add(
        "--kernels",
        type=Path,
        metavar="DIR",
        help="write every kernel to DIR/<run>-<snapshot>.h5, too; goes beyond the memory, and a run that was "
        "killed continues there",
    )
    add("-v", "--verbose", action="store_true", help="print what every route would take in memory")
    add("-q", "--quiet", action="store_true", help="print nothing but errors")
    return parser


if __name__ == "__main__":
    sys.exit(main())
