"""python -m ntkspec.analyze: run files in, spectra, bounds and a report out."""

from __future__ import annotations

if __name__ == "__main__":  # before NumPy and SciPy take their half second
    from ntkspec.cli import begin

    begin(trials=True)

import argparse
import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

from ntkspec import sandbox
from ntkspec.backend import Backend, Choice, Precision, select
from ntkspec.cli import DONE, FAILED, Parser, console, positive, run_command
from ntkspec.errors import UsageError
from ntkspec.jacobian import Outputs
from ntkspec.report.compare import assemble, find_baseline, unique_labels
from ntkspec.report.places import Places, kernel_files
from ntkspec.report.records import Report
from ntkspec.run_analysis import Progress, RunSettings, RunWork, chosen
from ntkspec.spectral import MethodChoice
from ntkspec.spectral.choose import AUTO
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
    kernels: str | Path | None = None,
    trial: bool = False,
    progress: Progress | None = None,
    detail: Progress | None = None,
) -> Report:
    """Return spectra, ablations, bounds and comparisons of run files.

    Of one file alone `ntkspec.run_analysis.analyze_run` does the same.

    Args:
        paths: run files; two or more are compared with the baseline.
        snapshot: an id or label, or "all".
        drop: further ablations, each a set of roles or block names to leave out.
        baseline: label of the run to compare with; default: the one called "baseline", else the first.
        check: compute every total kernel and spectrum in a second way too, and compare.
        samples: analyse so many of each run's samples, drawn at random by `seed`; default: all.
        kernels: folder to write every kernel to, in <run>-<snapshot id>.h5; see `ntkspec.write_kernels`.
        trial: read the files in another process first, as the command does; see `ntkspec.open_run`.
        progress: called with a line for every step of the work.
        detail: called with the lines of the memory plan, before anything is allocated.
        method, k, outputs, backend, precision, memory: as for `ntkspec.spectrum`.

    Raises:
        NtkspecError: bad files or arguments; nothing is computed before every file was opened.
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
    )
    work = RunWork(settings, select(backend), progress or (lambda _: None), detail)
    if not paths:
        raise UsageError("analyze", expected="one or more run files", got="none", remedy="name a run file")
    with contextlib.ExitStack() as stack:
        trials = stack.enter_context(contextlib.ExitStack())
        trials.enter_context(sandbox.server("ntkspec.store"))
        runs = [stack.enter_context(open_run(path, memory=memory, trial=trial)) for path in paths]
        labels = unique_labels([(run.label, run.path) for run in runs])
        own = [run.label for run in runs]
        reference = find_baseline(labels, own, [run.config for run in runs], baseline)
        snapshots = [chosen(run, settings) for run in runs]
        ids = [[snap.id for snap in snaps] for snaps in snapshots]
        places: Sequence[Mapping[str, Path | None]] = [dict.fromkeys(of_run) for of_run in ids]
        if kernels is not None:
            places = stack.enter_context(kernel_files([run.path for run in runs], ids, Path(kernels)))
        for run in runs:
            run.check_values()
        trials.close()
        reports = [work.report(*each) for each in zip(runs, labels, snapshots, places, strict=True)]
    return assemble(reports, reference, work.engine.name)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return run_command(lambda: _analyze(_parser().parse_args(argv)))


def _analyze(options: argparse.Namespace) -> int:
    from ntkspec.report.summary import failures
    from ntkspec.report.terminal import print_report
    from ntkspec.report.write import write_json_file, write_report

    if options.seed is not None and options.samples is None:
        raise UsageError(
            "--seed",
            expected="--samples beside it",
            got="all samples",
            remedy="add --samples N, or leave it out",
        )
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
            samples=options.samples,
            seed=options.seed or 0,
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
        help=f"solver of the eigenvalues; auto (default): {AUTO}",
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
    add("--samples", type=positive(int), metavar="N", help="N of the samples, drawn at random (default: all)")
    add("--seed", type=int, metavar="S", help="of that draw (default: 0)")
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
