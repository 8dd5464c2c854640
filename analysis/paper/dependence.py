"""On which settings claims (a), (b), (d) and (e) depend: every setting of the sweeps, in a table.

    python -m analysis.paper.dependence paper/sweeps weights.json

One setting is varied at a time, about the fine MPE, the medium Fourier features and the baseline. Ratios of
lambda_min are medians over the pictures, in decades, gains of PSNR means; both with intervals, of fewer than
eight pictures with their range. The last column names what every picture reaches of what the paper says: 8
decades and 15 dB over the baseline, (a) and (d), 2 decades and 12 dB over Fourier features, (b) and (e). The
grid's rate changes kernels that are there; nothing is trained with it, so there is no PSNR.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, product
from typing import Any

import pandas as pd

from analysis.paper import command
from analysis.paper.groups import require
from analysis.paper.ratios import decades, said
from analysis.paper.sweeps import FEATURES, FINEST, PATTERNS, SAMPLES, SIGMAS, WIDTHS, fourier, multigrid
from analysis.paper.tables import markdown, mean, runs_of, stages
from analysis.paper.verdicts import OVER_BASELINE, OVER_FFE
from analysis.paper.weights import RATES, load_weights
from ntkspec.errors import UsageError
from ntkspec.population.intervals import median
from ntkspec.population.outcomes import Outcome

HEAD = ["MPE over baseline, decades", "dB", "MPE over FFE, decades", "dB", "on every picture"]
# What the paper claims over the baseline, and over Fourier features.
CLAIMED = ((("(a)", "(d)"), OVER_BASELINE), (("(b)", "(e)"), OVER_FFE))


@dataclass(frozen=True)
class Setting:
    """One setting: the runs that it compares, by their names, at a stage of training."""

    axis: str
    value: str
    mpe: str
    ffe: str | None = None
    baseline: str | None = None
    stage: str = "end"

    @property
    def others(self) -> tuple[str | None, str | None]:
        """Return the baseline and the Fourier features, as far as they are compared."""
        return self.baseline, self.ffe

    @property
    def runs(self) -> tuple[str, ...]:
        """Return the names of what is compared."""
        return tuple(name for name in (self.mpe, *self.others) if name)


def settings(outcomes: Sequence[Outcome]) -> Iterator[Setting]:
    """Yield all settings of the sweeps."""
    require(outcomes, ("mpe-width64", "mpe-time"))
    for features, sigma in product(FEATURES, SIGMAS):
        said = f"sigma {sigma}, {features} frequencies"
        yield Setting("bandwidth", said, "mpe-width64", fourier(sigma, features))
    for finest in FINEST:
        yield Setting("finest level", f"{finest} cells", multigrid(finest), "ffe-width64", "baseline-width64")
    own = next(each.samples for each in outcomes if each.name == "mpe-width64")
    for count in sorted({own, *(round(share * own) for share in SAMPLES)}):
        yield _all("samples", str(count), f"n{count}" if count != own else "width64")
    for pattern in ("random", *PATTERNS):
        yield _all("pattern", pattern, pattern if pattern in PATTERNS else "width64")
    for width in sorted((*WIDTHS, 64)):
        yield _all("width", str(width), f"width{width}")
    run = next(each for each in outcomes if each.name == "mpe-time")
    for label, stage in sorted(run.stages.items(), key=lambda pair: pair[1].step):
        yield _all("steps", str(stage.step), "time", label)


def _all(axis: str, value: str, name: str, stage: str = "end") -> Setting:
    return Setting(axis, value, f"mpe-{name}", f"ffe-{name}", f"baseline-{name}", stage)


def table(outcomes: Sequence[Outcome], weights: Sequence[Mapping[str, Any]]) -> str:
    """Return a row for each setting, in Markdown; `weights` are the items of weights.json.

    Raises:
        UsageError: a run is missing, or the weights are of other pictures.
    """
    require(outcomes, {name for each in settings(outcomes) for name in each.runs})
    runs = runs_of(outcomes)
    weighted = {item["item"]: item["rows"] for item in weights}
    if weighted.keys() != set(runs.index):
        got = f"those of {len(weighted)}, others among them"
        raise UsageError(
            "weights", expected=f"those of the {len(runs)} pictures", got=got, remedy="weigh again"
        )
    rows = {}
    for setting in settings(outcomes):
        mpe, *others = (name and _at(runs[name], setting.stage) for name in (setting.mpe, *setting.others))
        rows[f"{setting.axis}: {setting.value}"] = _cells(mpe, others)
    mpe, *others = (_at(runs[f"{kind}-width64"], "end") for kind in ("mpe", "baseline", "ffe"))
    for place, rate in enumerate(RATES):
        found = [weighted[item][place] for item in runs.index]
        total = [
            replace(curve, lambda_min=row["lambda_min"], floor=row["floor"])
            for curve, row in zip(mpe.total, found, strict=True)
        ]
        at_rate = mpe.assign(total=total, psnr_db=math.nan)
        rows[f"rate of the grid over the network's: {rate:g}"] = _cells(at_rate, others)
    return markdown(pd.DataFrame([*rows.values()], list(rows), columns=HEAD), "setting")


def _at(runs: pd.Series, label: str) -> pd.DataFrame:
    """Return a row for each item: the spectrum of the whole kernel, and PSNR."""
    found = stages(runs, label)
    psnr = found.map(lambda stage: stage.metric("psnr_db"))
    return pd.DataFrame({"total": found.map(lambda stage: stage.spectra["total"]), "psnr_db": psnr})


def _cells(ours: pd.DataFrame, others: Sequence[pd.DataFrame | None]) -> list[str]:
    """Return what a setting comes to, against the baseline and against Fourier features."""
    cells: list[str] = []
    held: list[str] = []
    for theirs, (letters, claimed) in zip(others, CLAIMED, strict=True):
        if theirs is None:
            cells += ["", ""]
            continue
        ratios, gains = ours.total.combine(theirs.total, decades), ours.psnr_db - theirs.psnr_db
        cells += [said(*median(ratios)), mean(gains) if gains.notna().all() else ""]
        least = min(ratio.low for ratio in ratios), gains.min()
        held += compress(letters, (least[0] >= claimed["lambda_min"], least[1] >= claimed["psnr_db"]))
    return [*cells, " ".join(sorted(held)) or "none"]


if __name__ == "__main__":
    command.of_outcomes(
        __doc__, lambda study, file: table(study, load_weights(file)), "study", file="weights"
    )
