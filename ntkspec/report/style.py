"""Choose the order and the colours of runs by their kind: baseline, Fourier features, multigrid, other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ntkspec.report.names import clean, run_names, snapshot_name
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.record import Spectrum

Kind = Literal["baseline", "ffe", "mpe", "other"]
Stage = Literal["init", "mid", "end"]
Marker = Literal["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "hexagon", "star"]

STAGES: tuple[Stage, ...] = ("init", "mid", "end")
STAGE_TITLES: Mapping[Stage, str] = {
    "init": "start of training",
    "mid": "mid-training",
    "end": "end of training",
}
LATE: tuple[Stage, ...] = ("mid", "end")  # of trained networks
NO_GRID_COLOUR = "#00796b"

MARKERS: dict[Marker, str] = {  # by plotly's name, matplotlib's
    "circle": "o",
    "square": "s",
    "triangle-up": "^",
    "diamond": "D",
    "triangle-down": "v",
    "cross": "P",
    "hexagon": "h",  # no x: that marks where a curve goes below its floor
    "star": "*",
}
# Blue, orange, slate, green, brown, mauve: readable on both backgrounds, apart for the colour-blind too, as
# tests/report/test_colours.py measures. In greyscale neighbours are apart, the others by dash and marker.
OWN = ("#0078d8", "#e07818", "#586868", "#68a070", "#905820", "#b080b8")
DASHES: tuple[tuple[float, ...], ...] = ((), (5.0, 2.0), (1.0, 1.5), (7.0, 2.0, 1.0, 2.0))
_ALIKE = 4  # runs on a ramp; with more, dashes tell neighbours apart, too

_ORDER: tuple[Kind, ...] = ("baseline", "ffe", "mpe", "other")
# Ends and middles of ramps, on white and on dark: baseline grey, FFE blue to purple, MPE orange to red.
_RAMPS: dict[Kind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "baseline": (("#1f1f1f",), ("#e4e4e4",)),
    "ffe": (("#5aa9e6", "#3565c4", "#4a1f7d"), ("#a9d6f9", "#6f9bf0", "#a678ea")),
    "mpe": (("#f0952b", "#b51d0e"), ("#f8c07a", "#f0604d")),
}
_ENCODINGS: dict[str, Kind] = {
    "identity": "baseline",
    "none": "baseline",
    "baseline": "baseline",
    "gaussian": "ffe",
    "axis": "ffe",
    "fourier": "ffe",
    "ffe": "ffe",
    "rff": "ffe",
    "multigrid": "mpe",
    "grid": "mpe",
    "hash": "mpe",
    "mpe": "mpe",
}
# How high a frequency or how fine a grid is, said in a preset's or a label's words.
_FINENESS = {"low": 0, "coarse": 0, "medium": 1, "mid": 1, "middle": 1, "high": 2, "fine": 2}


@dataclass(frozen=True)
class StyledRun:
    """A run with its name, kind, colours and line style in figures and tables."""

    run: RunReport
    index: int  # position in the report
    kind: Kind
    colour: str  # #rrggbb, on white
    dark: str  # on a dark background
    dash: tuple[float, ...]  # strokes and gaps in turn, in widths of the line; () is a solid line
    marker: Marker  # its neighbours, in the order shown, have others
    name: str  # the label, printable, short and unlike those of the other runs
    short: str  # the same, shorter

    @property
    def end(self) -> SnapshotReport | None:
        """Return the run's snapshot at its end; see `RunReport.end`."""
        return self.run.end

    def spectrum(self, kernel: str = "total") -> Spectrum | None:
        """Return the spectrum of a kernel at the run's end, or None if it has no such kernel there."""
        return self.end.spectra.get(kernel) if self.end else None

    def alignment(self, kernel: str = "total") -> Alignment | None:
        """Return the alignment of the targets with a kernel at the run's end, or None if it is not known."""
        return self.end.alignments.get(kernel) if self.end else None


def styled_runs(report: Report) -> tuple[StyledRun, ...]:
    """Return all runs in the order in which they are shown.

    The order is: baseline, Fourier features from low to high frequency, multigrids from coarse to fine, and
    others in their order in the report.
    """
    kinds = _kinds(report)
    order = _order(report, kinds)
    counts = {kind: kinds.count(kind) for kind in _ORDER}
    seen: dict[Kind, int] = dict.fromkeys(_ORDER, 0)
    names, shorter = run_names(report, 40), run_names(report, 28)
    styled = []
    for i, marker in zip(order, itertools.cycle(MARKERS), strict=False):
        kind = kinds[i]
        colours, dash = _look(kind, seen[kind], counts[kind])
        seen[kind] += 1
        styled.append(StyledRun(report.runs[i], i, kind, *colours, dash, marker, names[i], shorter[i]))
    return tuple(styled)


def reference(report: Report) -> StyledRun | None:
    """Return the run that the others are compared with, or None if there is none."""
    return next((run for run in styled_runs(report) if run.run.label == report.baseline), None)


def _look(kind: Kind, position: int, count: int) -> tuple[tuple[str, str], tuple[float, ...]]:
    """Return colours on white and on dark, and dashes, of run number `position` of the `count` of a kind."""
    if kind == "other":
        turn, place = divmod(position, len(OWN))
        return (OWN[place], OWN[place]), DASHES[turn % len(DASHES)]
    light, dark = (on_ramp(ramp, position, count) for ramp in _RAMPS[kind])
    return (light, dark), DASHES[position % len(DASHES)] if count > _ALIKE else ()


def of_kind(runs: tuple[StyledRun, ...], kind: Kind) -> tuple[StyledRun, ...]:
    """Return the runs of one kind, in their order."""
    return tuple(run for run in runs if run.kind == kind)


def stages(run: RunReport) -> dict[Stage, SnapshotReport]:
    """Return the snapshot for each stage of training: by its label, else by its step.

    The first is the start if its step is 0, the last the end; the middle is nearest to half of the training.
    """
    snapshots: dict[Stage, SnapshotReport] = {}
    for stage in STAGES:
        snapshot = run.snapshot(stage)
        if snapshot is not None:
            snapshots[stage] = snapshot
    free = [snapshot for snapshot in run.snapshots if snapshot.label not in STAGES]
    if free and "end" not in snapshots:
        snapshots["end"] = free.pop()
    if free and "init" not in snapshots and free[0].step == 0:
        snapshots["init"] = free.pop(0)
    if free and "mid" not in snapshots:
        half = snapshots["end"].step / 2
        snapshots["mid"] = min(free, key=lambda snapshot: abs(snapshot.step - half))
    if len(snapshots) == 1:  # a single snapshot is drawn in full
        snapshots = {"end": next(iter(snapshots.values()))}
    return {stage: snapshots[stage] for stage in STAGES if stage in snapshots}


def last_name(report: Report) -> str:
    """Return the name of the snapshots drawn as the end: "end", one that all share, or "last snapshot"."""
    names = {snapshot_name(run, run.end) for run in report.runs if run.end}
    return clean(next(iter(names)), 24) if len(names) == 1 else "end" if not names else "last snapshot"


def when_last(report: Report) -> str:
    """Return a phrase that says when the last snapshots were taken, such as "at the end of training"."""
    name = last_name(report)
    if name == "end":
        return "at the end of training"
    return f"at the {name}" if name == "last snapshot" else f"at snapshot {name}"


def _order(report: Report, kinds: list[Kind]) -> list[int]:
    """Return the positions of the runs in the order in which they are shown.

    Runs are sorted by kind, and within a kind by the number of `_fineness`; if a run of the kind has no such
    number, by the words of label and preset, see `_said_fineness`.
    """
    fineness = [_fineness(run, kind) for run, kind in zip(report.runs, kinds, strict=True)]
    unknown = {kind for kind, number in zip(kinds, fineness, strict=True) if not number > 0}

    def key(i: int) -> tuple[int, float, int, int]:
        if kinds[i] in ("baseline", "other"):
            return (_ORDER.index(kinds[i]), 0.0, 0, i)
        number = 0.0 if kinds[i] in unknown else fineness[i]
        return (_ORDER.index(kinds[i]), number, _said_fineness(report.runs[i]), i)

    return sorted(range(len(kinds)), key=key)


def _kinds(report: Report) -> list[Kind]:
    kinds = [_kind(run) for run in report.runs]
    if len(report.runs) > 1 and any(run.label == report.baseline for run in report.runs):
        named = next(i for i, run in enumerate(report.runs) if run.label == report.baseline)
    else:  # if several have no encoding, none of them is the baseline
        named = kinds.index("baseline") if kinds.count("baseline") == 1 else -1
    return [
        "baseline" if i == named else "other" if kind == "baseline" else kind for i, kind in enumerate(kinds)
    ]


def _kind(run: RunReport) -> Kind:
    """Return config.family, which our trainer writes; without it, guess the kind from config and label."""
    family = run.config.get("family")
    for kind in _ORDER:
        if family == kind:
            return kind
    for word in _words(run.config):
        if word in _ENCODINGS:
            return _ENCODINGS[word]
    if any("grid" in snapshot.spectra for snapshot in run.snapshots):
        return "mpe"
    return next(
        (_ENCODINGS[word] for word in _split(run.label) if word in ("baseline", "ffe", "mpe")), "other"
    )


def _words(config: Mapping[str, object]) -> list[str]:
    """Return the words of two config entries that may name the encoding: encoding.kind, then preset."""
    encoding = config.get("encoding")
    kind = encoding.get("kind") if isinstance(encoding, Mapping) else encoding
    return [
        word for source in (kind, config.get("preset")) if isinstance(source, str) for word in _split(source)
    ]


def _split(text: str) -> list[str]:
    return "".join(ch if ch.isalnum() else " " for ch in text.lower()).split()


def _fineness(run: RunReport, kind: Kind) -> float:
    """Return a number that orders runs of a kind: its highest frequency or finest grid level, or 0."""
    encoding = run.config.get("encoding")
    if kind in ("baseline", "other") or not isinstance(encoding, Mapping):
        return 0.0
    if kind == "ffe":
        octaves = min(_number(encoding, "octaves"), 64.0)
        # sin(2^(L - 1) pi x), the highest of L octaves, has 2^(L - 2) cycles; sigma counts in cycles too
        return 2.0 ** (octaves - 2) if encoding.get("kind") == "axis" else _number(encoding, "sigma")
    steps = min(max(_number(encoding, "levels") - 1, 0.0), 64.0)
    growth = min(_number(encoding, "growth") or 2.0, 64.0)
    return _number(encoding, "finest") or _number(encoding, "base", "base_resolution") * growth**steps


def _said_fineness(run: RunReport) -> int:
    """Return 0, 1 or 2, which orders runs of a kind by words in label and preset; 0 is low or coarse."""
    preset = run.config.get("preset")
    words = _split(run.label) + (_split(preset) if isinstance(preset, str) else [])
    return next((_FINENESS[word] for word in words if word in _FINENESS), 1)


def _number(config: Mapping[str, object], *names: str) -> float:
    for name in names:
        value = config.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9:
            return float(value)
    return 0.0


def on_ramp(ramp: tuple[str, ...], position: int, count: int) -> str:
    """Return colour number `position` of `count`, evenly spaced on a ramp; a single one is the ramp's end."""
    at = (len(ramp) - 1) * (position / (count - 1) if count > 1 else 1.0)
    low = min(int(at), max(len(ramp) - 2, 0))
    return mixed(ramp[low], ramp[min(low + 1, len(ramp) - 1)], at - low)


def mixed(first: str, second: str, share: float) -> str:
    """Mix two colours #rrggbb, with this share of the second."""
    pairs = zip(bytes.fromhex(first[1:]), bytes.fromhex(second[1:]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
