"""Compare the lambda_min of runs in decades, log10 of a ratio of two numbers, each known or by its limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Literal

from ntkspec._version import PRODUCER
from ntkspec.display import counted
from ntkspec.errors import UsageError, not_one_of
from ntkspec.report.names import apart, look, numbered
from ntkspec.report.records import Comparison, Qualifier, Report, RunReport
from ntkspec.spectral import Spectrum
from ntkspec.store.texts import storable

Limits = tuple[float, float]  # at least, at most; both >= 0

_SHOWN = 0.1  # decades: the last digit of what is shown


def unique_labels(runs: Sequence[tuple[str, Path]]) -> list[str]:
    """Return a label for each run: its own, or its file's name. Shared labels get it as a suffix."""
    stems = [storable(path.stem) for _, path in runs]
    own = [storable(label).strip() or stem for (label, _), stem in zip(runs, stems, strict=True)]
    return apart(own, lambda i: numbered(f"{own[i]} [{stems[i]}]"))


def find_baseline(
    labels: Sequence[str], own: Sequence[str], configs: Sequence[Mapping[str, object]], wanted: object
) -> int | None:
    """Return the position of the run to compare with: the wanted one, or the trainer's "baseline".

    The trainer's is the only run with the label "baseline" or, without one, the only run with the preset
    "baseline". If there is none, or if there are several, the result is None.

    Args:
        labels: the labels of the runs in the report, all different.
        own: the labels in the run files; `wanted` may also be one of these, if only one run has it.
        configs: of the runs.
        wanted: a label, or None.

    Raises:
        UsageError: no run, or more than one, has the wanted label.

    Example:
        >>> find_baseline(["mine", "baseline"], ["mine", "baseline"], [{}, {}], None)
        1
    """
    if wanted is None:
        by_label = [i for i in range(len(labels)) if "baseline" in (look(own[i]), look(labels[i]))]
        named = by_label or [i for i, config in enumerate(configs) if config.get("preset") == "baseline"]
        return named[0] if len(named) == 1 else None
    matching = (_of_look(wanted, labels) or _of_look(wanted, own)) if isinstance(wanted, str) else []
    if not matching:
        raise not_one_of("⟦--baseline⟧", wanted, labels)
    if len(matching) > 1:
        choice = ", ".join(labels[i] for i in matching)
        raise UsageError("⟦--baseline⟧", expected=f"one of {choice}", got=f"{wanted!r}, which they share")
    return matching[0]


def comparable(*runs: RunReport) -> bool:
    """Return whether the kernels of runs have the same samples, outputs and output mode, as far as is known.

    Eigenvalues depend on all three. Reports of older versions do not state which samples a run has, only how
    many.
    """
    inputs = {run.inputs for run in runs if run.inputs is not None}
    return len(inputs) < 2 and len({(run.samples, run.outputs, run.mode) for run in runs}) < 2


def compare_runs(runs: Sequence[RunReport], baseline: int | None) -> tuple[Comparison, ...]:
    """Compare lambda_min of the other runs with the baseline's, at each snapshot label that both have.

    Where a ratio would say nothing there is none: of a run whose kernels are not `comparable` with the
    baseline's, and of snapshots without a label, unless both are the ends of their runs.

    Args:
        runs: each with a label of its own.
        baseline: position of the run that the others are compared with; None: nothing is compared.
    """
    if baseline is None:
        return ()
    reference = runs[baseline]
    comparisons = []
    for run in (run for i, run in enumerate(runs) if i != baseline and comparable(run, reference)):
        for label in dict.fromkeys(snap.label for snap in run.snapshots):
            mine, theirs = run.snapshot(label), reference.snapshot(label)
            if mine is None or theirs is None:
                continue
            if not label and (mine is not run.end or theirs is not reference.end):
                continue  # nothing says that they are of the same time in training
            decades, qualifier = decades_between(mine.spectra["total"], theirs.spectra["total"])
            comparisons.append(Comparison("total", label, run.label, reference.label, decades, qualifier))
    return tuple(comparisons)


def sample_warnings(runs: Sequence[RunReport]) -> list[tuple[str, ...]]:
    """Return for each run the warnings that its samples differ from the first run's; spectra do not compare.

    There is no warning about runs from reports of older versions, which do not state the samples.
    """
    return [tuple(_unlike(run, runs[0])) for run in runs]


def _unlike(run: RunReport, first: RunReport) -> Iterator[str]:
    if run.inputs and first.inputs and run.inputs != first.inputs:
        yield f"{run.path}: its samples are not those of {first.path}; lambda_min depends on them"
    if run.outputs != first.outputs:
        yield f"{run.path}: {counted(output=run.outputs)}, {first.path} has {first.outputs}; not compared"
    if _precisions(run) != _precisions(first):
        yield f"{run.path}: kernels in {_precisions(run)}, those of {first.path} in {_precisions(first)}"


def _precisions(run: RunReport) -> str:
    return " and ".join(sorted({spec.precision for snap in run.snapshots for spec in snap.spectra.values()}))


def assemble(runs: Sequence[RunReport], baseline: int | None, backend: Literal["cpu", "gpu"]) -> Report:
    """Return the report of runs that were analysed one by one, here or elsewhere.

    Args:
        runs: each with a label of its own, see `unique_labels`.
        baseline: position of the run that the others are compared with, see `find_baseline`; None: with none.
        backend: name of the backend that computed the runs.
    """
    baseline = baseline if len(runs) > 1 else None
    own = sample_warnings(runs)
    said = {*chain(*own)}  # by an earlier report of these runs, perhaps
    runs = tuple(
        replace(run, warnings=(*(line for line in run.warnings if line not in said), *lines))
        for run, lines in zip(runs, own, strict=True)
    )
    return Report(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        producer=PRODUCER,
        backend=backend,
        runs=runs,
        comparisons=compare_runs(runs, baseline),
        baseline=None if baseline is None else runs[baseline].label,
    )


def _of_look(wanted: str, labels: Sequence[str]) -> list[int]:
    return [i for i, label in enumerate(labels) if look(label) == look(wanted)]


@dataclass(frozen=True)
class Known:
    """Two limits between which a number lies.

    For log10(a / b) both are infinite, with the same sign, where a or b is zero.
    """

    low: float
    high: float


def known_decades(above: Limits, below: Limits) -> Known:
    """Return log10 of one number over another.

    If both may be zero, that limit of the result is infinite: nothing is known on that side.

    Args:
        above: lower and upper limit of the numerator; equal if it is known.
        below: the same of the denominator.

    Example:
        >>> known_decades((100.0, 100.0), (1.0, 1.0))
        Known(low=2.0, high=2.0)
        >>> known_decades((100.0, 100.0), (0.0, 1.0))
        Known(low=2.0, high=inf)
    """
    return Known(_log_ratio(above[0], below[1], -math.inf), _log_ratio(above[1], below[0], math.inf))


def _log_ratio(above: float, below: float, unknown: float) -> float:
    if above == 0 and below == 0:
        return unknown
    if above == 0:
        return -math.inf
    return math.inf if below == 0 else math.log10(above) - math.log10(below)


def decades_between(spectrum: Spectrum, baseline: Spectrum) -> tuple[float | None, Qualifier]:
    """Return log10 of lambda_min(spectrum) / lambda_min(baseline), and "=", ">=", "<=" or "unresolved".

    "=" is of two numbers whose stated errors leave the ratio within a tenth of a decade. Otherwise the result
    is a bound: it allows for the stated errors of both, and uses the largest value that an unresolved number
    can have (the floor if it is exactly zero). The result is (None, "unresolved") if neither is resolved, if
    the errors do not tell which is larger, or if not all eigenvalues were computed.
    """
    if not (spectrum.complete and baseline.complete):
        return None, "unresolved"
    within = known_decades(_limits(spectrum), _limits(baseline))
    if spectrum.lambda_min and baseline.lambda_min:
        if within.high - within.low <= _SHOWN:
            return math.log10(spectrum.lambda_min) - math.log10(baseline.lambda_min), "="
        # Only the limit that says which is larger is worth a sentence.
        within = Known(
            within.low if within.low > 0 else -math.inf, within.high if within.high < 0 else math.inf
        )
    if math.isfinite(within.low):
        return within.low, ">="
    if math.isfinite(within.high):
        return within.high, "<="
    return None, "unresolved"


def _limits(spectrum: Spectrum) -> Limits:
    """Return the limits of lambda_min by its stated error, or by what is known where it is not resolved."""
    if spectrum.lambda_min:
        return float(spectrum.lower[-1]), float(spectrum.upper[-1])
    return 0.0, spectrum.floor if spectrum.singular or not spectrum.floor else spectrum.smallest_at_most
