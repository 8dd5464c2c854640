"""Write one sentence that says what a population shows, and which runs it is said of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ntkspec.population.report import wording
from ntkspec.population.report.cohorts import Cohort, Kernels, SpectrumStatistics, at_stage
from ntkspec.population.report.labels import ShownLabel
from ntkspec.report import words
from ntkspec.report.names import enumerated
from ntkspec.report.words import State

Totals = Mapping[ShownLabel, SpectrumStatistics]

_ALIKE: Mapping[State, str] = {
    "zero": "the kernel of {} is exactly singular: the smallest eigenvalue is zero",
    "unresolved": "the smallest eigenvalue of {} lies below what rounding lets anyone see",
    "not computed": "the smallest eigenvalue of {} was not computed",
}


def headline(cohorts: Sequence[Cohort], labels: Iterable[ShownLabel], when: str) -> tuple[str, ...]:
    """Return a sentence that says for which label lambda_min is largest, or why that is unknown.

    A second one says which kernels are compared, if there are others.

    Args:
        cohorts: of all labels; those at the end of training with the commonest kernels are compared.
        labels: all labels.
        when: when the last snapshots were taken, such as "at the end of training".
    """
    ends = {label: at_stage(cohorts, label.label, "end") for label in labels}
    runs = _runs_by_kernels(cohort for of_label in ends.values() for cohort in of_label)
    common, count = runs.most_common(1)[0]
    totals = {
        label: cohort.spectra["total"]
        for label, of_label in ends.items()
        for cohort in reversed(of_label)  # of several, the one with the most runs
        if cohort.kernels == common
    }
    every = runs.total()
    sentence = _all_alike(totals, every) or (_alone(totals, every) if len(totals) == 1 else _compared(totals))
    lead = f"{when[:1].upper()}{when[1:]}, {sentence}."
    if count == every:
        return (lead,)
    some = f"{count:,} of {every:,} runs {'has' if count == 1 else 'have'}"
    return lead, (
        f"That is said of kernels of {wording.kernels(common)}, which "
        f"{'most runs have' if 2 * count > every else some}; "
        "eigenvalues of kernels of other sizes or outputs do not compare."
    )


def _runs_by_kernels(cohorts: Iterable[Cohort]) -> Counter[Kernels]:
    """Return how many runs have kernels of each size, number of outputs and output mode."""
    runs: Counter[Kernels] = Counter()
    for cohort in cohorts:
        runs[cohort.kernels] += cohort.runs
    return runs


def _all_alike(totals: Totals, every: int) -> str:
    """Return a text: why lambda_min of no run is a number; "" if one is, or if the reasons differ.

    Args:
        totals: of the runs that are compared.
        every: how many runs there are in all.
    """
    states = _states(totals)
    runs = states.total()
    state = next((state for state in _ALIKE if states[state] == runs), None)
    if state is None:
        return ""
    name = next(iter(totals)).name
    if runs == 1:
        return _ALIKE[state].format(_one(name, every))
    of_label = f" of {name}" if len(totals) == 1 else ""
    return _ALIKE[state].format(f"each of {'the ' if runs == every else ''}{runs:,} runs{of_label}")


def _one(name: str, every: int) -> str:
    """Return a phrase for the only run that is compared, of this label."""
    return f"the one run, {name}," if every == 1 else f"{name}, one of {every:,} runs,"


def _alone(totals: Totals, every: int) -> str:
    """Return a text that states lambda_min of the only label; for the arguments see `_all_alike`."""
    ((label, statistics),) = totals.items()
    if statistics.runs == 1:
        return f"the smallest eigenvalue of {_one(label.name, every)} is {_value(statistics)}"
    start = f"the smallest eigenvalue of {label.name}, in the median of {statistics.runs:,} runs, is "
    states = statistics.states
    more = "" if states["resolved"] == statistics.runs else f": {wording.states(states)}"
    return start + _value(statistics) + more


def _compared(totals: Totals) -> str:
    """Return a text that compares the label with the largest median of lambda_min with another label.

    That is the baseline or, without one, the label with the smallest median. Labels that cannot be told from
    the best are named together.
    """
    numbers = {label: statistics.median_smallest or 0.0 for label, statistics in totals.items()}
    top = max(numbers, key=lambda label: numbers[label])
    if not numbers[top]:
        states = _states(totals)
        counts = f"{wording.states(states)} of {states.total():,} runs"
        return f"no label's smallest eigenvalue is, in the median, known to be above zero: {counts}"
    best = [label for label in totals if label == top or _tied(totals[label], totals[top])]
    others = {label: totals[label].smallest[1].value for label in totals if label not in best}
    known = "where it is known, " if any(high > numbers[top] for high in others.values()) else ""
    names = enumerated([label.name for label in best], most=3) + ", as far as can be told" * (len(best) > 1)
    ranked = sorted(best, key=lambda label: numbers[label])
    value = _over([totals[label] for label in ranked])
    lead = f"{known}the smallest eigenvalue is largest for {names}: {value}"
    if not others:
        return lead
    other = min(others, key=lambda label: (label.kind != "baseline", others[label]))
    return f"{lead}; for {other.name} it is {_over([totals[other]])}"


def _tied(one: SpectrumStatistics, top: SpectrumStatistics) -> bool:
    """Return whether a number is the same as the largest one as shown, or within the stated errors."""
    return bool(one.median_smallest) and (_value(one) == _value(top) or one.stated[1] >= top.stated[0])


def _over(some: Sequence[SpectrumStatistics]) -> str:
    """Return a text: the least and the largest of these medians, which are sorted, and of how many runs."""
    values, runs = dict.fromkeys((_value(some[0]), _value(some[-1]))), sum(each.runs for each in some)
    median = "the median of " if runs > len(some) else ""
    return f"{' to '.join(values)} in {median}{wording.count(runs, 'run')}"


def _states(totals: Totals) -> Counter[State]:
    states: Counter[State] = Counter()
    for statistics in totals.values():
        states.update(statistics.states)
    return states


def _value(statistics: SpectrumStatistics) -> str:
    value = wording.smallest(statistics).value
    return "exactly zero" if value == words.sci(0) else value.replace("<= ", "at most ")
