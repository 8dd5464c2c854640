"""What a run came to, small enough to keep: metrics, thinned spectra, lambda_min, certified bounds, slack.

A study is a folder with a folder for each picture or mesh, in which every run file has its outcome beside it:
`goldfish/mpe-fine.h5` and `goldfish/mpe-fine.json`. `load` reads the outcomes and computes those that are
missing from their run files; `pack` puts a whole study into a few JSON files, which `load` reads as well.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from beside import cores, environment

import ntkspec
from ntkspec.analyze import analyze_runs
from ntkspec.errors import UsageError
from ntkspec.report.curves import thinned
from ntkspec.report.data import CheckedBound, SnapshotReport
from ntkspec.spectral import Spectrum

POINTS = 48  # of a kept spectrum, evenly spaced on a log axis
TAIL = 8  # further ones 1, 2, 4, ... before the end, where spectra fall off
DIGITS = 5
OF_SOURCES = ("image", "mesh", "up", "azimuth")  # in a run's task
VERSION = 3  # of what is kept; raise it where the analysis changes, and all is analysed anew


@dataclass(frozen=True)
class Curve:
    """One spectrum. Values that are not resolved are None, those beyond an exact rank are 0."""

    values: tuple[float | None, ...]  # at `indices(size)`
    size: int
    resolved: int
    floor: float
    lambda_max: float | None
    lambda_min: float | None  # 0: exactly singular; None: not resolved, between 0 and the floor
    rank_at_most: int
    trace: float
    effective_rank: float | None
    method: str


@dataclass(frozen=True)
class Stage:
    """One snapshot of a run."""

    step: int
    metrics: Mapping[str, float]
    spectra: Mapping[str, Curve]  # "total"; "no_grid" and "grid" of a multigrid
    certified: tuple[float, float] | None  # of lambda_min of the total
    lower: Mapping[str, float]  # what each lower bound says of the total's lambda_min
    slack: Mapping[str, float] | None  # of Theorem 1, in decades: "least", "median", "share" below 0.01
    bounds: int  # how many were held against the spectra
    broken: tuple[str, ...]  # those, and checks, that do not hold

    def metric(self, name: str) -> float:
        """One metric.

        Raises:
            UsageError: it was not measured, such as the PSNR of a picture that is learnt without any error.
        """
        if name not in self.metrics:
            raise UsageError(
                "metrics of a run",
                expected=name,
                got=", ".join(self.metrics) or "none",
                remedy="see that every study is where it belongs, and leave out what has no such number",
            )
        return self.metrics[name]


@dataclass(frozen=True)
class Outcome:
    """One run: a picture or mesh, and a configuration."""

    item: str
    name: str  # of the run file: a preset, or a setting of a sweep
    label: str
    config: Mapping[str, Any]
    samples: int
    parameters: int
    stages: Mapping[str, Stage]  # "mid" and "end"
    made: Mapping[str, Any]  # machine, versions and commit of the analysis; see `made_by`

    @property
    def seed(self) -> int:
        """That from which its network was trained, as those of other items may have been."""
        return int(self.config.get("seed", 0))

    @property
    def end(self) -> Stage:
        """The last snapshot."""
        return self.stages["end"]


def indices(size: int) -> list[int]:
    """1-based indices of the eigenvalues that are kept of `size`: even on a log axis, and more at the end."""
    last = {size - 2**k + 1 for k in range(TAIL) if 2**k < size}
    return sorted({int(i) for i in thinned(size, POINTS)} | last)


def outcome(run_file: Path) -> Outcome:
    """Analyse every snapshot of a run file as `python -m ntkspec.analyze` does."""
    run = analyze_runs([run_file], backend="cpu").runs[0]
    return Outcome(
        item=run_file.parent.name,
        name=run_file.stem,
        label=run.label,
        config={key: value for key, value in run.config.items() if key != "training"},
        samples=run.samples,
        parameters=_parameters(run_file),
        stages={snapshot.label: _stage(snapshot) for snapshot in run.snapshots},
        made=made_by(),
    )


def load(place: Path) -> list[Outcome]:
    """All outcomes of a study's folder, or of the folder that `pack` wrote, by item and name.

    Raises:
        UsageError: there is nothing to load, or runs of one name are of different settings.
    """
    runs = set(place.glob("*/*.h5"))
    found = [of_file(path) for path in sorted(runs)]
    gone = {path.with_suffix(".h5") for path in place.glob("*/*.json")} - runs
    found += [kept for path in sorted(gone) if (kept := _kept(path))]
    found = found or [each for path in sorted(place.glob("*.json")) for each in _unpack(path)]
    if not found:
        raise no_runs(place)
    _check_alike(found)
    return sorted(found, key=lambda each: (each.item, each.name))


def require(outcomes: Iterable[Outcome], names: Iterable[str]) -> None:
    """Refuse a study in which some picture or mesh lacks a run that is asked for.

    Raises:
        UsageError: it does.
    """
    found: dict[str, set[str]] = {}
    for each in outcomes:
        found.setdefault(each.item, set()).add(each.name)
    asked = set(names)
    for item, there in sorted(found.items()):
        missing = sorted(asked - there)
        if missing:
            raise UsageError(
                item,
                expected=f"a run {missing[0]}",
                got=f"{', '.join(sorted(there)[:4])}{', ...' if len(there) > 4 else ''}",
                remedy="let the study go on to its end",
            )


def no_runs(place: Path) -> UsageError:
    """What to say of a study without run files."""
    return UsageError(
        str(place),
        expected="a folder of folders of run files",
        got="none in it",
        remedy="make them first, see analysis/paper/README.md",
    )


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What runs of one name share in a study: all but source, view, label, seed and what made them.

    A picture that is there keeps the seed that it was trained with, whoever comes to stand beside it.
    """
    task = {key: value for key, value in config.get("task", {}).items() if key not in OF_SOURCES}
    apart = ("label", "seed", "trained_by", "sha256")
    return {key: value for key, value in config.items() if key not in apart} | {"task": task}


def pack(outcomes: Iterable[Outcome], place: Path, *, together: str = "") -> None:
    """One file for each name, or one for all, called `together`; what made them stands there once each."""
    files: dict[str, list[Outcome]] = {}
    for each in outcomes:
        files.setdefault(together or each.name, []).append(each)
    for name, group in files.items():
        made: list[Mapping[str, Any]] = []
        for each in group:
            if each.made not in made:
                made.append(each.made)
        packed = [{**asdict(each), "made": made.index(each.made)} for each in group]
        write_json(place / f"{name}.json", {"version": VERSION, "made": made, "outcomes": packed})


def of_file(run_file: Path) -> Outcome:
    """The outcome beside a run file, computed first where there is none of this version, or an older one.

    A run file may be deleted once it has an outcome.
    """
    kept = _kept(run_file)
    if kept is not None:
        return kept
    found = outcome(run_file)
    write_json(run_file.with_suffix(".json"), {"version": VERSION, "outcome": asdict(found)})
    return found


def has_outcome(run_file: Path) -> bool:
    """Whether the outcome of a run is kept: of this version, and newer than the run file if that is there."""
    return _kept(run_file) is not None


def _kept(run_file: Path) -> Outcome | None:
    """None also for a file that is damaged, or of another run: then the run file is analysed anew."""
    place = run_file.with_suffix(".json")
    if not place.exists() or (run_file.exists() and place.stat().st_mtime < run_file.stat().st_mtime):
        return None
    try:
        content = read_json(place)
        found = from_dict(content["outcome"]) if content["version"] == VERSION else None
    except (ValueError, KeyError, TypeError, AttributeError):  # all that JSON of another shape can raise
        return None
    return found if found and (found.item, found.name) == (place.parent.name, place.stem) else None


def _check_alike(outcomes: Iterable[Outcome]) -> None:
    first: dict[str, Outcome] = {}
    for each in outcomes:
        other = first.setdefault(each.name, each)
        if settings_of(each.config) != settings_of(other.config):
            raise UsageError(
                f"{each.item}, {each.name}",
                expected=f"the settings of {other.item}",
                got="others",
                remedy="keep runs of different settings in different folders",
            )


def write_json(path: Path, content: Any) -> None:
    """Under a temporary name until it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


@functools.cache
def made_by() -> dict[str, Any]:
    """Machine, versions and commit, as the benchmarks state them, but for time and load."""
    stated = environment(cores())
    return {key: value for key, value in stated.items() if key not in ("created", "threads", "load_average")}


def _parameters(run_file: Path) -> int:
    with ntkspec.open_run(run_file) as run:
        return sum(math.prod(block.widths) for block in run.snapshots[-1].jacobian)


def _stage(snapshot: SnapshotReport) -> Stage:
    enclosure = [b.bound for b in snapshot.bounds if b.bound.certified and b.of == "total"]
    sides = {bound.side: float(bound.values[0]) for bound in enclosure}
    return Stage(
        step=snapshot.step,
        metrics={name: _short(value) for name, value in snapshot.metrics.items()},
        spectra={name: _curve(spectrum) for name, spectrum in snapshot.spectra.items()},
        lower={
            b.bound.name: _short(b.bound.values[-1])
            for b in snapshot.bounds
            if b.of == "total" and b.bound.side == "lower" and math.isfinite(b.bound.values[-1])
        },
        certified=(sides["lower"], sides["upper"]) if len(sides) == 2 else None,
        slack=_slack(snapshot.spectra),
        bounds=len(snapshot.bounds),
        broken=tuple(_broken(snapshot.bounds))
        + tuple(f"{check.name} of {check.of}" for check in snapshot.checks if not check.holds),
    )


def _curve(spectrum: Spectrum) -> Curve:
    limit = spectrum.rank.at_most if spectrum.rank and spectrum.singular else spectrum.size
    values = [
        _short(spectrum.eigenvalues[i - 1]) if i <= spectrum.resolved else 0.0 if i > limit else None
        for i in indices(spectrum.size)
    ]
    smallest = spectrum.lambda_min
    return Curve(
        values=tuple(values),
        size=spectrum.size,
        resolved=spectrum.resolved,
        floor=_short(spectrum.floor),
        lambda_max=None if spectrum.lambda_max is None else _short(spectrum.lambda_max),
        lambda_min=None if smallest is None else _short(smallest),
        rank_at_most=limit,
        trace=_short(spectrum.trace),
        effective_rank=None if spectrum.effective_rank is None else _short(spectrum.effective_rank),
        method=spectrum.method,
    )


def _slack(spectra: Mapping[str, Spectrum]) -> dict[str, float] | None:
    """log10 of lambda_i(K) over lambda_i(K_MLP), over all i at which both are resolved."""
    if "no_grid" not in spectra:
        return None
    total, kept = spectra["total"], spectra["no_grid"]
    both = slice(0, min(total.resolved, kept.resolved))
    if not both.stop:
        return None
    decades = np.log10(total.eigenvalues[both] / kept.eigenvalues[both])
    share = float(np.mean(decades < 0.01))
    return {
        "least": _short(decades.min()),
        "median": _short(np.median(decades)),
        "share": _short(share),
        "compared": both.stop,
    }


def _broken(bounds: Iterable[CheckedBound]) -> list[str]:
    return [f"{each.bound.name} of {each.of}" for each in bounds if not each.holds]


def _short(value: float) -> float:
    return float(f"{float(value):.{DIGITS}g}")


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def _unpack(path: Path) -> list[Outcome]:
    try:
        content = read_json(path)
        if content["version"] == VERSION:
            return _packed(content)
        got = f"version {content['version']}"
    except (ValueError, KeyError, TypeError, AttributeError):  # all that JSON of another shape can raise
        got = "something else"
    raise UsageError(
        str(path),
        expected=f"packed outcomes of version {VERSION}",
        got=got,
        remedy="pack them again from their run files, with analysis/paper/page.py",
    )


def _packed(content: Mapping[str, Any]) -> list[Outcome]:
    return [from_dict({**each, "made": content["made"][each["made"]]}) for each in content["outcomes"]]


def from_dict(content: Mapping[str, Any]) -> Outcome:
    """The inverse of `dataclasses.asdict`."""
    stages = {}
    for label, stage in content["stages"].items():
        curves = {
            name: Curve(**{**curve, "values": tuple(curve["values"])})
            for name, curve in stage["spectra"].items()
        }
        certified = tuple(stage["certified"]) if stage["certified"] else None
        stages[label] = Stage(
            **{**stage, "spectra": curves, "certified": certified, "broken": tuple(stage["broken"])}
        )
    return Outcome(**{**content, "stages": stages})
