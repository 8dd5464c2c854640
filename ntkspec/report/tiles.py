"""Collect the pictures of a report: targets, and what each run has learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ntkspec.qualities import QUALITIES, show
from ntkspec.report.records import Picture
from ntkspec.report.style import StyledRun

MOST_PIXELS = 512  # of a picture's side; larger ones are thinned


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture, and the text below it."""

    picture: Picture
    run: StyledRun | None  # None: the truth
    quality: str  # "" for the truth, and where nothing is known

    @property
    def name(self) -> str:
        """Return whose picture it is."""
        return self.run.name if self.run else "target"


def tiles(runs: Sequence[StyledRun]) -> list[Tile]:
    """Return the runs' last pictures; a target comes before the first run that learnt it."""
    shown: list[Tile] = []
    truth: Picture | None = None
    first = next((run.run.truth for run in runs if run.run.truth is not None), None)
    for run in runs:
        picture = run.end.picture if run.end is not None else None
        if picture is None or run.end is None:
            continue
        target = run.run.truth if run.run.truth is not None else first if truth is None else truth
        if target is not None and (truth is None or not np.array_equal(target, truth)):
            truth = target
            shown.append(Tile(thin(target), None, ""))
        values = (
            (quality.beside_picture, show(run.end.metrics, name)) for name, quality in QUALITIES.items()
        )
        quality = " · ".join(form.format(value) for form, value in values if form and value != "-")
        shown.append(Tile(thin(picture), run, quality))
    return shown


def thin(picture: Picture) -> Picture:
    """Return every k-th pixel, so that no side has more than `MOST_PIXELS`; (H, W) of one channel."""
    step = max(1, -(-max(picture.shape[:2]) // MOST_PIXELS))
    thinned = picture[::step, ::step]
    return thinned[:, :, 0] if thinned.ndim == 3 and thinned.shape[2] == 1 else thinned
