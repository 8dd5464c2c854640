"""On which settings claims (a), (b), (d) and (e) depend: every setting of the sweeps, in a table.

    python -m analysis.paper.dependence paper/sweeps weights.json

One setting is varied at a time, about the fine MPE, the medium Fourier features and the baseline. Ratios of
lambda_min are medians over the pictures, in decades, gains of PSNR means; both with intervals, of fewer than
eight pictures with their range. A claim holds in a setting if every picture reaches what the paper says: 8
decades and 15 dB over the baseline, (a) and (d), 2 decades and 12 dB over Fourier features, (b) and (e). The
grid's rate changes kernels that are there; nothing is trained with it, so there is no PSNR.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from analysis.paper import command
from analysis.paper.beside import markdown
from analysis.paper.sweeps import FEATURES, FINEST, PATTERNS, SAMPLES, SIGMAS, WIDTHS, fourier, multigrid
from analysis.paper.verdicts import OVER_BASELINE, OVER_FFE
from analysis.paper.weights import RATES, load_weights
from ntkspec.errors import UsageError
from ntkspec.population.groups import by_item, require
from ntkspec.population.intervals import decades, interval, median, said
from ntkspec.population.outcomes import Outcome, Stage
from ntkspec.population.packed import load
from ntkspec.report.decades import Known

LETTERS = (("(a)", "(d)"), ("(b)", "(e)"))  # of the claims over the baseline, and over Fourier features

Runs = dict[str, dict[str, Outcome]]  # item -> name -> outcome


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
        """The baseline and the Fourier features, as far as they are compared."""
        return self.baseline, self.ffe

    @property
    def runs(self) -> tuple[str, ...]:
        """The names of what is compared."""
        return tuple(name for name in (self.mpe, *self.others) if name)


@dataclass(frozen=True)
class Compared:
    """An MPE over another network, picture by picture."""

    ratios: Sequence[Known]  # of lambda_min
    gains: Sequence[float]  # of PSNR in dB; none of a kernel that nothing was trained with


def settings(outcomes: Sequence[Outcome]) -> Iterator[Setting]:
    """All settings of the sweeps."""
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
    """A row for each setting, in Markdown; `weights` are the items of weights.json.

    Raises:
        UsageError: a run is missing, or the weights are of other pictures.
    """
    require(outcomes, {name for each in settings(outcomes) for name in each.runs})
    runs = by_item(outcomes)
    weighted = {item["item"]: item["rows"] for item in weights}
    if weighted.keys() != runs.keys():
        got = f"those of {len(weighted)}, others among them"
        raise UsageError(
            "weights", expected=f"those of the {len(runs)} pictures", got=got, remedy="weigh again"
        )
    rows = []
    for setting in settings(outcomes):
        mpe = _stages(runs, setting.mpe, setting.stage)
        found = [_compared(mpe, _stages(runs, name, setting.stage)) for name in setting.others]
        rows.append(_row(f"{setting.axis}: {setting.value}", found))
    others = [_stages(runs, f"{kind}-width64", "end") for kind in ("baseline", "ffe")]
    for place, rate in enumerate(RATES):
        mpe = [_at_rate(runs[item]["mpe-width64"].end, weighted[item][place]) for item in sorted(runs)]
        found = [_compared(mpe, stages, trained=False) for stages in others]
        rows.append(_row(f"rate of the grid over the network's: {rate:g}", found))
    head = ["setting", "MPE over baseline, decades", "dB", "MPE over FFE, decades", "dB", "hold"]
    return markdown(head, rows)


def _at_rate(stage: Stage, row: Mapping[str, Any]) -> Stage:
    """The fine MPE with another learning rate of its grid in the kernel."""
    total = replace(stage.spectra["total"], lambda_min=row["lambda_min"], floor=row["floor"])
    return replace(stage, spectra={"total": total})


def _compared(ours: Sequence[Stage], theirs: Sequence[Stage], *, trained: bool = True) -> Compared | None:
    if not theirs:
        return None
    pairs = list(zip(ours, theirs, strict=True))
    ratios = [decades(one.spectra["total"], other.spectra["total"]) for one, other in pairs]
    gains = [one.metric("psnr_db") - other.metric("psnr_db") for one, other in pairs] if trained else []
    return Compared(ratios, gains)


def _row(title: str, found: Sequence[Compared | None]) -> list[str]:
    cells, held = [], []
    for each, letters, claimed in zip(found, LETTERS, (OVER_BASELINE, OVER_FFE), strict=True):
        if each is None:
            cells += ["", ""]
            continue
        cells += [said(*median(each.ratios)), str(interval(each.gains)) if each.gains else ""]
        if min(ratio.low for ratio in each.ratios) >= claimed["lambda_min"]:
            held.append(letters[0])
        if each.gains and min(each.gains) >= claimed["psnr_db"]:
            held.append(letters[1])
    return [title, *cells, " ".join(sorted(held)) or "none"]


def _stages(runs: Runs, name: str | None, stage: str) -> list[Stage]:
    return [by_name[name].stages[stage] for _, by_name in sorted(runs.items())] if name else []


def main() -> None:
    """The command line."""
    parser = command.parser(__doc__)
    parser.add_argument("study", type=Path, help="folder of the sweeps, or of their packed outcomes")
    parser.add_argument("weights", type=Path, help="what weights.py wrote")
    options = parser.parse_args()
    print(table(load(options.study), load_weights(options.weights)))


if __name__ == "__main__":
    command.run(main)
