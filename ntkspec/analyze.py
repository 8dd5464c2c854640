"""python -m ntkspec.analyze: run files in, spectra, bounds and a report out."""

from __future__ import annotations

if __name__ == "__main__":  # before NumPy and SciPy take their half second
    from ntkspec.cli import begin

    begin(trials=True)

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ntkspec import sandbox
from ntkspec.backend import Backend, Choice, Precision, select
from ntkspec.cli import DONE, FAILED, Parser, console, run_command
from ntkspec.errors import UsageError
from ntkspec.everywhere import match_everywhere
from ntkspec.jacobian import Outputs
from ntkspec.progress import progress
from ntkspec.report.compare import assemble, find_baseline, unique_labels
from ntkspec.report.places import Places, kernel_files
from ntkspec.report.records import Report, RunReport
from ntkspec.run_analysis import RunWork, chosen
from ntkspec.run_options import add_settings, settings_of
from ntkspec.run_settings import RunSettings, When
from ntkspec.spectral import MethodChoice
from ntkspec.spectral.choose import Progress
from ntkspec.store import open_run

EXAMPLE = """\
examples:
  python -m ntkspec.analyze run.h5
  python -m ntkspec.analyze baseline.h5 mpe-fine.h5 -o report/ --baseline baseline
  python -m ntkspec.analyze run.h5 --snapshot end --method svd --drop grid --drop mlp.layers.0
  python -m ntkspec.analyze large.h5 --samples 2000 --seed 1
"""


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
    samples: int | None = None,
    seed: int = 0,
    alignment: When = "auto",
    everywhere: Sequence[str | Path] = (),
    kernels: str | Path | None = None,
    trial: bool = False,
    progress: Progress | None = None,
    detail: Progress | None = None,
) -> Report:
    """Return spectra, ablations, bounds and comparisons of run files.

    For one file alone `ntkspec.run_analysis.analyze_run` does the same.

    Args:
        paths: run files; several stand side by side, and are compared with the baseline if there is one.
        drop: further ablations, each a set of roles or block names to leave out.
        baseline: label of the run to compare with; default: the only one called "baseline", if any.
        everywhere: further run files of the same networks at every pixel, as `ntkspec.train --everywhere`
            writes them, with which eigenfunctions are drawn; each belongs to the run of its label.
        kernels: folder to write every kernel to, in <run>-<snapshot id>.h5; see `ntkspec.write_kernels`.
        trial: read the files in another process first, as the command does; see `ntkspec.open_run`.
        progress: called with a line for every step of the work.
        detail: called with the lines of the memory plan, before anything is allocated.
        snapshot, check, samples, seed, alignment: see `ntkspec.run_settings.RunSettings`.
        method, k, outputs, backend, precision, memory: as for `ntkspec.spectrum`.

    Raises:
        NtkspecError: bad files or arguments; nothing is computed before every file was opened.

    Example:
        >>> analyze_runs(["data/golden/mpe.h5"], k=3, outputs=0).runs[0].snapshots[0].spectra["total"].size
        40
    """
    settings = RunSettings(
        snapshot=snapshot,
        method=method,
        k=k,
        outputs=outputs,
        drop=tuple(map(tuple, drop)),
        backend=backend if isinstance(backend, str) else backend.name,
        precision=precision,
        memory=memory,
        check=check,
        samples=samples,
        seed=seed,
        alignment=alignment,
    )
    work = RunWork(settings, select(backend), progress or (lambda _: None), detail)
    if not paths:
        raise UsageError("analyze", expected="one or more run files", got="none", remedy="name a run file")
    reports, reference = _reports(work, paths, everywhere, baseline, kernels, trial)
    return assemble(reports, reference, work.engine.name)


def _reports(
    work: RunWork,
    paths: Sequence[str | Path],
    everywhere: Sequence[str | Path],
    baseline: str | None,
    kernels: str | Path | None,
    trial: bool,
) -> tuple[list[RunReport], int | None]:
    """Open and check all files, then analyse the runs; return their reports, and which is the baseline."""
    settings = work.settings
    with contextlib.ExitStack() as stack:
        trials = stack.enter_context(contextlib.ExitStack())
        trials.enter_context(sandbox.server("ntkspec.store"))
        runs, further = (
            [stack.enter_context(open_run(path, memory=settings.memory, trial=trial)) for path in files]
            for files in (paths, everywhere)
        )
        labels = unique_labels([(run.label, run.path) for run in runs])
        own = [run.label for run in runs]
        reference = find_baseline(labels, own, [run.config for run in runs], baseline)
        snapshots = [chosen(run, settings) for run in runs]
        ids = [[snap.id for snap in of_run] for of_run in snapshots]
        places: Sequence[Mapping[str, Path | None]] = [dict.fromkeys(of_run) for of_run in ids]
        if kernels is not None:
            places = stack.enter_context(kernel_files([run.path for run in runs], ids, Path(kernels)))
        pixels = match_everywhere(further, runs, ids, settings.outputs)
        for run in (*runs, *further):
            run.check_values()
        trials.close()
        to_report = zip(runs, labels, snapshots, places, pixels, strict=True)
        return [work.report(*arguments) for arguments in to_report], reference


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    return run_command(lambda: _analyze(make_parser().parse_args(argv)))


def _analyze(options: argparse.Namespace) -> int:
    from ntkspec.report.summary import failures
    from ntkspec.report.terminal import print_report
    from ntkspec.report.write import write_json_file, write_report

    settings = settings_of(options)
    folder = options.output or Path(f"{Path(options.runs[0]).stem}-report")
    places = Places(folder, options.json, options.kernels, options.overwrite)
    places.check([*options.runs, *options.everywhere])
    with progress(quiet=options.quiet) as say:
        say("reading the run files")
        report = analyze_runs(
            options.runs,
            **vars(settings),
            baseline=options.baseline,
            everywhere=options.everywhere,
            kernels=options.kernels,
            trial=True,
            progress=say,
            detail=console(stderr=True).out if options.verbose and not options.quiet else None,
        )
        say("drawing the report")
        write_report(report, folder, overwrite=options.overwrite)
        if options.json:
            write_json_file(report, options.json)
    if not options.quiet:
        stdout = console()
        print_report(report, stdout, details=options.details)
        stdout.print(f"Report: {folder / 'index.html'}", soft_wrap=True, highlight=False, markup=False)
    return FAILED if failures(report) else DONE


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="python -m ntkspec.analyze",
        description="Spectra, ablations and bounds of the neural tangent kernel in run files, as a report.",
        epilog=EXAMPLE,
    )
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN.h5", help="run files; several are compared")
    add("-o", "--output", type=Path, metavar="DIR", help="report folder (default: <first run>-report/)")
    add(
        "--overwrite",
        action="store_true",
        help="replace a report that somebody added files to, too (else it is refused); what was added stays",
    )
    add("--json", type=Path, metavar="FILE", help="write report.json to this file too")
    add_settings(parser)
    add(
        "--baseline",
        metavar="LABEL",
        help="label of the run to compare with (default: baseline, if a run is called so)",
    )
    add(
        "--everywhere",
        action="append",
        default=[],
        type=Path,
        metavar="ALL.h5",
        help="a run's network at every pixel, as train --everywhere writes it, to draw eigenfunctions there; "
        "may be repeated, one a run",
    )
    add(
        "--kernels",
        type=Path,
        metavar="DIR",
        help="write every kernel to DIR/<run>-<snapshot>.h5, too; goes beyond the memory, and a run that was "
        "killed continues there",
    )
    add("-v", "--verbose", action="store_true", help="print what every route would take in memory")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "--details",
        action="store_true",
        help="print every snapshot and bound (default: the last snapshot)",
    )
    amount.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    return parser


if __name__ == "__main__":
    sys.exit(main())
