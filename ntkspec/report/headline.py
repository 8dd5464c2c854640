"""Write what the numbers mean, in one sentence and at most two further ones that support it.

A gain is the difference of two numbers as they are rounded for display. No sentence says why a network is
best: supporting sentences state numbers of its spectrum, and say so if these do not explain the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ntkspec.display import listed
from ntkspec.qualities import PSNR_HELD_OUT, values_of
from ntkspec.report import words
from ntkspec.report.compare import comparable
from ntkspec.report.names import clean, enumerated
from ntkspec.report.records import Report
from ntkspec.report.style import StyledRun, last_name, reference, styled_runs, when_last
from ntkspec.report.targets import Scores, noun, one_target, scores_of


def headline(report: Report) -> tuple[str, ...]:
    """Return a sentence on which run is best, or on what is known instead, and at most two that support it.

    Example:
        >>> headline(Report("", "", "cpu", ()))
        ('The report has no runs.',)
    """
    runs = tuple(run for run in styled_runs(report) if run.end is not None)
    if not runs:
        return ("The report has no runs.",)
    scores = scores_of(runs)
    if scores is None:
        lead, supports = _without_quality(report, runs)
    else:
        lead, supports = _won(report, runs, scores), ()
        if len(scores.best) == 1 and one_target(scores.runs):
            supports = (_modes(report, scores), without_grid(scores.best[0]))
    return (f"{lead}.", *filter(None, supports))


def ranking(report: Report) -> str:
    """Return a sentence if the run with the largest lambda_min does not have the best metric; else ""."""
    runs = tuple(run for run in styled_runs(report) if run.end is not None)
    scores, top = scores_of(runs), _largest(runs)
    if scores is None or top is None or scores.of(top) in (None, scores.values[0][0]):
        return ""
    return f"{top.name} has the largest lambda_min and not the best {scores.title}: {words.RANKING}."


def without_grid(run: StyledRun) -> str:
    """Return a sentence on small eigenvalues with and without the grid's gradients; "" if not both are known.

    It compares the smallest ones. If that without is no number, it compares the last that is one, since a
    single zero among hundreds of eigenvalues says little.
    """
    total, rest = run.spectrum(), run.spectrum("no_grid")
    if total is None or rest is None or not total.lambda_min or words.state(rest) == "not computed":
        return ""
    if rest.lambda_min:
        whole, left = words.lambda_min(total), words.lambda_min(rest)
        which, beyond = "the smallest eigenvalue, the speed of the slowest pattern,", ""
    elif not rest.resolved:
        return "Without its grid's gradients, no eigenvalue can be told from zero."
    else:
        place = rest.resolved - 1
        whole, left = (words.sci(float(spectrum.eigenvalues[place])) for spectrum in (total, rest))
        which = f"eigenvalue {place + 1:,} of {rest.size:,}"
        known_zero = rest.size - rest.rank.at_most if rest.singular and rest.rank else 0
        beyond = ", and those after it cannot be told from zero"
        if known_zero == rest.size - rest.resolved:
            beyond = ", and those after it are exactly zero"
        elif known_zero:
            beyond += f", of which the last {known_zero:,} are exactly zero"
    return f"Without its grid's gradients, {which} goes from {whole} to {left}{beyond}."


def _won(report: Report, runs: Sequence[StyledRun], scores: Scores) -> str:
    """Return a sentence that says which run is closest to the target, and by how much."""
    (value, run), best, count = scores.values[0], scores.best, len(scores.values)
    reached, what, when = f"{scores.title} {scores.said(value)}", _target(scores), _at(report)
    if value.is_infinite() and one_target(scores.runs):
        match = f"{_names(best)} {'matches' if len(best) == 1 else 'match'} {what} exactly{when}: {reached}"
        return "; ".join((match, *_reached(report, scores)))
    if len(runs) == 1:
        return f"{run.name} reaches {reached} on {what}{when}"
    if count == 1:
        others = "the other run has" if len(runs) == 2 else "the others have"
        return f"{run.name} reaches {reached} on {what}{when}; {others} no {scores.title}"
    few = "" if count == len(runs) else f"Of the {count} runs with a {scores.title}, "
    if not one_target(scores.runs):
        top = f"the highest {scores.title} is that of {_names(best)}, {scores.said(value)}{when}"
        who = f"{count} runs with a {scores.title}" if few else "runs"
        return f"The {who} learnt different {noun(scores.runs, scores.metric)}s; {top}"
    if len(best) == count:
        every = f"{few}all " if few else "Both runs " if count == 2 else f"All {count} runs "
        return f"{every}come equally close to {what}{when}: {reached}"
    if len(best) > 1:
        return f"{few}{_names(best)} come closest to {what}{when}, equally close: {reached}"
    return f"{few}{run.name} comes closest to {what}{when}: {reached}, {_gains(report, scores)}"


def _gains(report: Report, scores: Scores) -> str:
    """Return a text: by how much the best run exceeds the next one, and the reference if there is one."""
    top = scores.values[0][0]
    first, *rest = (
        f"{scores.said(top - value)} above {run.name}"
        for run in _others(report, scores)
        if (value := scores.of(run)) is not None
    )
    first += ", the next" if len(scores.values) > 2 else ""
    return f"{first}, and {rest[0]}" if rest else first


def _reached(report: Report, scores: Scores) -> Iterator[str]:
    """Yield what the runs reach with which the best is compared, where it is alone."""
    if len(scores.best) == 1:
        for run in _others(report, scores):
            if (value := scores.of(run)) is not None:
                yield f"{run.name} reaches {scores.said(value)}"


def _others(report: Report, scores: Scores) -> tuple[StyledRun, ...]:
    """Return the runs with which the best is compared: the next best, and the reference if it is another."""
    others = [run for _, run in scores.values[1:]]
    return tuple(run for run in others if run is others[0] or run.run.label == report.baseline)


def _modes(report: Report, scores: Scores) -> str:
    """Return a sentence: how many modes contain most of the target, for the best run and for one other."""
    best, *others = scores.best[0], *_others(report, scores)
    mine, theirs = (run.alignment() for run in (best, others[-1] if others else best))
    if mine is None:
        return ""
    when = "after training" if last_name(report) == "end" else when_last(report)
    lead = f"{when[:1].upper()}{when[1:]}, {words.alignment(mine, f'the {noun(scores.runs, scores.metric)}')}"
    count = mine.modes()
    if count is None or not others or theirs is None or not comparable(best.run, others[-1].run):
        return f"{lead}."
    needed, least, other = theirs.modes(), theirs.more_than() + 1, others[-1].name
    if needed == count and needed == least == mine.more_than() + 1:
        return f"{lead}; {other} needs as many, so this does not tell them apart."
    between = f"{least:,} to {needed:,}" if needed and needed > least else f"{needed:,}" if needed else ""
    if needed and needed <= mine.more_than():
        return f"{lead}; {other} needs fewer, {between}, so this does not explain the result."
    unsure = ", so this does not tell them apart" if least <= count else ""
    return f"{lead}; {other} needs {between or f'more than {least - 1:,}'}{unsure}."


def _without_quality(report: Report, runs: Sequence[StyledRun]) -> tuple[str, tuple[str, ...]]:
    """Return the headline if no run has a metric: a sentence about the spectra, and those that support it."""
    if len(runs) == 1:
        return _spectrum(runs[0], _at(report)), (without_grid(runs[0]),)
    unknown = (
        f"The run files do not say how good the results are (no PSNR, no IoU{_other_metrics(runs)}), and a "
        "fast network fits noise as fast as detail."
    )
    if not comparable(*(run.run for run in runs)):
        lead = (
            "The runs have different samples or outputs, on which eigenvalues depend: they are not compared"
        )
        return lead, (unknown,)
    top = _largest(runs)
    if top is not None and (spectrum := top.spectrum()) is not None:
        lead = f"Of {len(runs)} networks, {top.name} learns its slowest pattern fastest{_at(report)}"
        number = f"its kernel's smallest eigenvalue is {words.lambda_min(spectrum)}"
        return f"{lead}: {number}" + _over_reference(report, top), (unknown,)
    states = {words.state(spectrum) for run in runs if (spectrum := run.spectrum()) is not None}
    if states <= {"zero"}:
        return f"The smallest eigenvalue of every run is exactly zero{_at(report)}", (unknown,)
    if "resolved" in states:
        return f"It cannot be told which network learns its slowest pattern fastest{_at(report)}", (unknown,)
    if "not computed" in states:
        return "No run's smallest eigenvalue is known: not all eigenvalues were computed", (unknown,)
    return f"No run's smallest eigenvalue can be told from zero{_at(report)}", (unknown,)


def _other_metrics(runs: Sequence[StyledRun]) -> str:
    """Return a text that names the runs' metrics, if they have some by which they cannot be ranked."""
    metrics = dict.fromkeys(name for run in runs if run.end for name in values_of(run.end.metrics))
    names = listed([clean(name, 24) for name in metrics])
    return f"; whether more or less is better is not known of {names}" if names else ""


def _over_reference(report: Report, top: StyledRun) -> str:
    """Return a text that states lambda_min of the reference; "" if there is none, or if it is the top."""
    other = reference(report)
    spectrum = other.spectrum() if other else None
    if other is None or spectrum is None or other.index == top.index:
        return ""
    if words.state(spectrum) == "zero":
        return f"; that of {other.name} is exactly zero"
    if words.state(spectrum) == "unresolved":
        return f"; that of {other.name} cannot be told from zero"
    return f"; that of {other.name} is {words.lambda_min(spectrum)}"


def _spectrum(run: StyledRun, when: str) -> str:
    """Return a sentence that describes the spectrum of one run."""
    spectrum = run.spectrum()
    if spectrum is None or spectrum.zero:
        return f"The kernel of {run.name} is exactly zero{when}: no parameter has a gradient"
    count = spectrum.resolved
    if not count:
        most = words.sci_up(spectrum.floor)
        return f"No eigenvalue of {run.name} can be told from zero{when} (at most {most})"
    name, largest, several = run.name, words.lambda_max(spectrum), count > 1
    are, were = ("are", "were") if several else ("is", "was")
    least = words.sci(float(spectrum.eigenvalues[count - 1]))
    span = f"{when}, from {largest} down to {least}" if several else f"{when}: {largest}"
    if count == spectrum.size:
        which = f"All {count:,} eigenvalues" if several else "The only eigenvalue"
        return f"{which} of {name} {are} known{span}"
    if count == len(spectrum.eigenvalues):
        which = f"The {count:,} largest" if several else "The largest"
        return f"{which} of {spectrum.size:,} eigenvalues of {name} {were} computed{span}"
    lead = f"{count:,} of {spectrum.size:,} eigenvalues of {name} {are} known{span}"
    if spectrum.singular and spectrum.rank:
        zeros = spectrum.size - spectrum.rank.at_most
        return f"{lead}; at least {zeros:,} {'are' if zeros > 1 else 'is'} exactly zero"
    return f"{lead}; the rest cannot be told from zero"


def _largest(runs: Sequence[StyledRun]) -> StyledRun | None:
    """Return the run whose lambda_min is certainly larger than that of all others, also as it is shown.

    Return None if there is no such run, or if it is not known.
    """
    if not comparable(*(run.run for run in runs)):
        return None
    spectra = [(spectrum, run) for run in runs if (spectrum := run.spectrum()) is not None]
    candidates = [(spectrum, run) for spectrum, run in spectra if spectrum.lambda_min]
    if not candidates:
        return None
    top, run = max(candidates, key=lambda pair: float(pair[0].lower[-1]))
    others = [spectrum for spectrum, _ in spectra if spectrum is not top]
    larger = all(other.smallest_at_most < top.lower[-1] for other in others)
    return run if larger and words.lambda_min(top) not in map(words.lambda_min, others) else None


def _target(scores: Scores) -> str:
    """Return a phrase for what the metric compares the output with: the target, or its held-out part."""
    what = f"the {noun(scores.runs, scores.metric)}"
    return f"the held-out part of {what}" if scores.metric == PSNR_HELD_OUT.name else what


def _names(runs: Sequence[StyledRun]) -> str:
    return enumerated([run.name for run in runs], most=3)


def _at(report: Report) -> str:
    """Return a phrase that says when the snapshots were taken; "" for the end of training."""
    return "" if last_name(report) == "end" else f" {when_last(report)}"
