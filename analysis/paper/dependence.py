"""On which settings claims (a), (b), (d) and (e) depend: every setting of the sweeps, in a table.

    python analysis/paper/dependence.py paper/sweeps

One setting is varied at a time, about the fine MPE, the medium Fourier features and the baseline. Ratios of
lambda_min are medians over the pictures, in decades, gains of PSNR means; both with the range over pictures.
A claim holds in a setting if all pictures reach what the paper says: 8 decades and 15 dB over the baseline,
(a) and (d), 2 decades and 12 dB over Fourier features, (b) and (e).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import command
from beside import markdown
from intervals import decades, interval, median, said
from outcomes import Outcome, Stage, require
from sweeps import FEATURES, FINEST, PATTERNS, SAMPLES, SIGMAS, WIDTHS, fourier, multigrid
from verdicts import OVER_BASELINE, OVER_FFE

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
    def runs(self) -> tuple[str, ...]:
        """The names of what is compared."""
        return tuple(name for name in (self.mpe, self.ffe, self.baseline) if name)


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


def table(outcomes: Sequence[Outcome]) -> str:
    """A row for each setting, in Markdown."""
    require(outcomes, {name for each in settings(outcomes) for name in each.runs})
    runs: Runs = {}
    for each in outcomes:
        runs.setdefault(each.item, {})[each.name] = each
    rows = []
    for setting in settings(outcomes):
        mpe = _stages(runs, setting.mpe, setting.stage)
        cells, held = [], []
        for other, letters, claimed in (
            (setting.baseline, ("(a)", "(d)"), OVER_BASELINE),
            (setting.ffe, ("(b)", "(e)"), OVER_FFE),
        ):
            if other is None:
                cells += ["", ""]
                continue
            others = _stages(runs, other, setting.stage)
            pairs = list(zip(mpe, others, strict=True))
            ratios = [decades(one.spectra["total"], two.spectra["total"]) for one, two in pairs]
            gains = [one.metric("psnr_db") - two.metric("psnr_db") for one, two in pairs]
            least, most = median(ratios)
            gain = interval(gains)
            cells += [said(least, most), str(gain)]
            reached = (least.low >= claimed["lambda_min"], gain.low >= claimed["psnr_db"])
            held += [letter for letter, holds in zip(letters, reached, strict=True) if holds]
        rows.append([f"{setting.axis}: {setting.value}", *cells, " ".join(sorted(held)) or "none"])
    head = ["setting", "MPE over baseline, decades", "dB", "MPE over FFE, decades", "dB", "hold"]
    return markdown(head, rows)


def _stages(runs: Runs, name: str, stage: str) -> list[Stage]:
    return [by_name[name].stages[stage] for _, by_name in sorted(runs.items())]


if __name__ == "__main__":
    command.show(__doc__, table)
