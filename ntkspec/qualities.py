"""Define the metrics that our trainer writes into run files, and how reports name and format them.

A report lists any other metric in its details, under its own name. To show one more metric in tables, add it
here; no other code needs a change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Quality:
    """A metric with what reports say of it."""

    name: str  # in the metrics of a snapshot
    title: str  # of a column
    meaning: str = ""  # in a sentence, for whoever has never seen it; "": not in the page's first table
    digits: str = ".4g"
    precise: str = ".4f"  # digits where the training prints it
    unit: str = ""
    beside_picture: str = ""  # how it stands under a picture, such as "IoU {}"; "": it does not
    endless: bool = False  # whether it is infinite for a perfect result
    ranks: bool = False  # whether the larger one is the better result, so that a headline may compare by it
    axis: str = ""  # title of an axis, without the unit; "": the title
    decades: bool = True  # whether numbers that differ by decades are drawn on a log axis

    def show(self, value: float | None, digits: str = "") -> str:
        """Return a value with its unit, "-" where there is none or it should be finite and is not.

        Args:
            value: of the metric.
            digits: a format; default: the metric's own.

        Example:
            >>> PSNR.show(31.234), PSNR.show(None), PSNR.show(math.inf)
            ('31.2 dB', '-', 'inf dB')
        """
        if value is None or not (math.isfinite(value) or (value == math.inf and self.endless)):
            return "-"
        return f"{value:{digits or self.digits}}" + (f" {self.unit}" if self.unit else "")

    @property
    def flag(self) -> str:
        """Return the metric that is 1 in place of this one where it is infinite; "" if it never is.

        Run files hold finite numbers alone.

        Example:
            >>> PSNR.flag, IOU.flag
            ('psnr_db_infinite', '')
        """
        return f"{self.name}_infinite" if self.endless else ""

    @property
    def alone(self) -> str:
        """Return the title where no other metric stands beside it, without the unit.

        Example:
            >>> PSNR_HELD_OUT.title, PSNR_HELD_OUT.alone
            ('held out', 'PSNR, held-out pixels')
        """
        return self.axis or self.title

    @property
    def axis_title(self) -> str:
        """Return the title of an axis, with the unit.

        Example:
            >>> PSNR.axis_title
            'PSNR (dB)'
        """
        return self.alone + (f" ({self.unit})" if self.unit else "")


PSNR = Quality(
    "psnr_db",
    "PSNR",
    "PSNR: how close the learnt picture is to the true one, in decibels. Higher is better: 30 is good, at "
    "40 no difference is seen.",
    digits=".1f",
    precise=".2f",
    unit="dB",
    beside_picture="{}",
    endless=True,
    ranks=True,
    decades=False,
)
PSNR_LEARNT = Quality(
    "psnr_db_learnt",
    "learnt",
    digits=".1f",
    precise=".2f",
    unit="dB",
    endless=True,
    axis="PSNR, learnt pixels",
    decades=False,
)
PSNR_HELD_OUT = Quality(
    "psnr_db_held_out",
    "held out",
    "Held out: PSNR of the pixels that were not trained on.",
    digits=".1f",
    precise=".2f",
    unit="dB",
    beside_picture="held out {}",
    endless=True,
    axis="PSNR, held-out pixels",
    decades=False,
)
MS_SSIM = Quality(
    "ms_ssim",
    "MS-SSIM",
    "MS-SSIM: how alike both pictures look, structure and contrast. 1 is equal.",
    digits=".3f",
    beside_picture="MS-SSIM {}",
    decades=False,
)
IOU = Quality(
    "iou",
    "IoU",
    "IoU: volume that the learnt body and the true one share, over that of both together. 1 is equal.",
    digits=".3f",
    beside_picture="IoU {}",
    ranks=True,
    decades=False,
)
CHAMFER = Quality("chamfer", "Chamfer")
IOU_UNIFORM = Quality("iou_uniform", "IoU, uniform points", digits=".3f", decades=False)

QUALITIES: dict[str, Quality] = {  # that have columns of tables
    quality.name: quality for quality in (PSNR, PSNR_LEARNT, PSNR_HELD_OUT, MS_SSIM, IOU, CHAMFER)
}

OF_SOME_PIXELS = (PSNR_LEARNT.name, PSNR_HELD_OUT.name)  # metrics, not to be compared if these differ


def quality_of(name: str) -> Quality:
    """Return the description of a metric; for an unknown metric, one that has only its name.

    Example:
        >>> quality_of("loss").title
        'loss'
    """
    if name == IOU_UNIFORM.name:
        return IOU_UNIFORM
    return QUALITIES.get(name) or Quality(name, name)


def values_of(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of a run file, with infinity for each that is absent and whose flag is 1.

    Example:
        >>> values_of({"loss": 0.0, "psnr_db_infinite": 1.0})
        {'loss': 0.0, 'psnr_db': inf}
    """
    flags = {
        quality.flag: name
        for name, quality in QUALITIES.items()
        if quality.flag and name not in metrics and metrics.get(quality.flag) == 1
    }
    return {flags.get(name, name): math.inf if name in flags else value for name, value in metrics.items()}


def stored(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics as run files hold them, with the flag of each that may be infinite and is.

    Example:
        >>> stored({"loss": 0.0, "psnr_db": math.inf})
        {'loss': 0.0, 'psnr_db_infinite': 1.0}
    """
    flags = {
        name: flag
        for name, value in metrics.items()
        if (flag := quality_of(name).flag) and value == math.inf and metrics.get(flag, 1) == 1
    }
    return {flags.get(name, name): 1.0 if name in flags else value for name, value in metrics.items()}


def updated(metrics: Mapping[str, float], newer: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of a run file with newer ones in place of those that they contradict.

    Example:
        >>> updated({"psnr_db": 30.0, "loss": 0.1}, {"psnr_db_infinite": 1.0})
        {'loss': 0.1, 'psnr_db_infinite': 1.0}
    """
    known = values_of(newer)
    replaced = {*known, *(quality_of(name).flag for name in known)}
    both = {**metrics, **newer}
    return {name: value for name, value in both.items() if name in newer or name not in replaced}


def show(metrics: Mapping[str, float], name: str) -> str:
    """Return a metric in its usual unit and digits; "-" where it is absent or should be finite and is not.

    Example:
        >>> show({"iou": 0.91234}, "iou")
        '0.912'
    """
    return quality_of(name).show(values_of(metrics).get(name))
