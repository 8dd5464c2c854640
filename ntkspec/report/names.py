"""Make short, different names for runs, snapshots and kernels, for any names in the files."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from ntkspec.report.records import Report, RunReport, SnapshotReport

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"  # in place of the end of a text that is too long


def clean(text: str, limit: int = 200) -> str:
    """Return a text, perhaps from an untrusted file, as a printable line of at most `limit` characters."""
    line = "".join(
        ch if ch.isprintable() else " " if ch.isspace() else "\N{REPLACEMENT CHARACTER}" for ch in text
    )
    line = line.strip()
    return line if len(line) <= limit else line[: limit - 1] + ELLIPSIS


def look(name: str) -> str:
    """Return a key for comparing names: equal for names that a reader or a spreadsheet may confuse."""
    shown = unicodedata.normalize("NFKC", clean(name, len(name)))
    return " ".join(unicodedata.normalize("NFKC", shown.casefold()).split())


def apart(names: Sequence[str], others: Callable[[int], Iterable[str]]) -> list[str]:
    """Return the names, changed so that no two look alike.

    A name that is unique stays as it is. One that is shared is replaced by the first of `others(position)`,
    an endless iterable, that is still free.
    """
    counts = Counter(map(look, names))
    taken = {name for name, count in counts.items() if count == 1}
    result = []
    for i, name in enumerate(names):
        if counts[look(name)] > 1:
            name = next(other for other in others(i) if look(other) not in taken)
            taken.add(look(name))
        result.append(name)
    return result


def numbered(name: str) -> Iterator[str]:
    """Yield the name, then the name with " #2", " #3" and so on."""
    yield name
    yield from (f"{name} #{count}" for count in itertools.count(2))


def short(names: Sequence[str], limit: int) -> tuple[str, ...]:
    """Return printable names of at most `limit` characters; those that would be equal are numbered."""

    def others(i: int) -> Iterator[str]:
        for tail in (f" #{count}" for count in itertools.count(1)):
            yield clean(names[i], limit - len(tail)) + tail

    return tuple(apart([clean(name, limit) for name in names], others))


def run_names(report: Report, limit: int) -> tuple[str, ...]:
    """Return a name for each run of a report, in order: its label, printable and short."""
    labels = (clean(run.label) and run.label for run in report.runs)
    return short([label or f"run {i}" for i, label in enumerate(labels, start=1)], limit)


def named_snapshots(run: RunReport, limit: int | None = None) -> list[tuple[str, SnapshotReport]]:
    """Return each snapshot of a run with its name: its label, or its id where the label is empty or shared.

    Args:
        limit: most characters, printable ones; without it names are as the file has them.
    """
    names = snapshot_names([(snapshot.id, snapshot.label) for snapshot in run.snapshots])
    return list(zip(names if limit is None else short(names, limit), run.snapshots, strict=True))


def snapshot_name(run: RunReport, snapshot: SnapshotReport) -> str:
    """Return the name of one snapshot of a run, see `named_snapshots`, which is faster for all of them."""
    return next(name for name, other in named_snapshots(run) if other is snapshot)


def at_step(name: str, step: int) -> str:
    """Return the name of a snapshot, followed by its step where the name does not say it.

    Example:
        >>> at_step("end", 300), at_step("step 100", 100)
        ('end, step 300', 'step 100')
    """
    return name if str(step) in re.findall(r"\d+", name) else f"{name}, step {step}"


def kernel_names(runs: Iterable[RunReport], limit: int) -> dict[str, str]:
    """Return a dict from each kernel's name in the report to the name that is shown."""
    names = dict.fromkeys(name for run in runs for snap in run.snapshots for name in snap.spectra)
    return dict(zip(names, short([*names], limit), strict=True))


def written(report: Report) -> set[str]:
    """Return the texts by users that may stand in sentences on a report: paths, labels and other names."""
    texts = {text for run in report.runs for text in (run.path, run.label)}
    for run in report.runs:
        for snapshot in run.snapshots:
            texts |= {snapshot.id, snapshot.label, *snapshot.metrics, *snapshot.spectra}
            for spectrum in snapshot.spectra.values():
                texts |= {*spectrum.blocks, *(spectrum.regions.disobeying if spectrum.regions else ())}
    return texts


def enumerated(names: Sequence[str], most: int, number: Callable[[int], str] = str) -> str:
    """Return one name or several in a sentence; of more than `most` the first ones, and how many more.

    Args:
        names: at least one.
        most: 2 or more.
        number: writes how many more there are.

    Example:
        >>> enumerated(["a", "b", "c"], 3), enumerated(["a", "b", "c", "d"], 3)
        ('a, b and c', 'a, b and 2 more')
    """
    if len(names) > most:
        names = [*names[: most - 1], f"{number(len(names) - most + 1)} more"]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def snapshot_names(keys: Sequence[tuple[str, str]]) -> list[str]:
    """Return names for snapshots with these ids and labels, no two of which look alike."""

    def others(i: int) -> Iterator[str]:
        id, label = keys[i]
        yield id
        yield from numbered(f"{label} [{id}]")

    return apart([label or id for id, label in keys], others)
