"""python -m ntkspec.analyze: run files in, spectra, bounds and a report out."""

from __future__ import annotations

if __name__ == "__main__":  # before NumPy and SciPy take their half second
    from ntkspec.commands.cli import begin

    begin(trials=True)

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ntkspec.commands.cli import DONE, FAILED, Parser, after, console, line_on_stderr, run_command
from ntkspec.commands.progress import progress
from ntkspec.commands.run_options import add_settings, settings_of
from ntkspec.report.places import Places
from ntkspec.runs.side_by_side import analyze_runs as analyze_runs

EXAMPLE = """\
examples:
  python -m ntkspec.analyze run.h5
  python -m ntkspec.analyze baseline.h5 mpe-fine.h5 -o report/ --baseline baseline
  python -m ntkspec.analyze run.h5 --snapshot end --method svd --drop grid mlp.output --drop mlp.hidden_1
  python -m ntkspec.analyze large.h5 --samples 2000 --seed 1
  python -m ntkspec.analyze another.h5 --beside run-report/report.json -o both/
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    return run_command(lambda: _analyze(make_parser().parse_args(argv)))


def _analyze(options: argparse.Namespace) -> int:
    from ntkspec.report.from_json import read_report
    from ntkspec.report.summary import failures
    from ntkspec.report.terminal import print_report
    from ntkspec.report.write import write_json_file, write_report

    settings = settings_of(options)
    folder = options.output or Path(f"{Path(options.runs[0]).stem}-report")
    places = Places(folder, options.json, options.kernels, options.overwrite)
    places.check([*options.runs, *options.everywhere, *filter(None, [options.beside])])
    with progress(quiet=options.quiet) as say:
        say("reading the run files")
        beside = read_report(options.beside) if options.beside else None
        report = analyze_runs(
            options.runs,
            **vars(settings),
            beside=beside,
            baseline=options.baseline,
            everywhere=options.everywhere,
            kernels=options.kernels,
            trial=True,
            progress=say,
            detail=line_on_stderr if options.verbose and not options.quiet else None,
        )
        say("drawing the report")
        write_report(report, folder, overwrite=options.overwrite)
        if options.json:
            with after(f"the report is in {folder}"):
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
    add(
        "--beside",
        type=Path,
        metavar="FILE",
        help="report.json of an earlier analysis, whose runs are shown too and not computed again; "
        "it holds no pictures",
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
    add("-v", "--verbose", action="store_true", help="print what every method would take in memory")
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
