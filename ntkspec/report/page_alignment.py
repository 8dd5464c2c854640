"""Compute the page's curves of alignments: the target beyond the first modes, the residual over steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ntkspec.report.thinning import points_each, thinned
from ntkspec.report.to_json import rounded
from ntkspec.spectral.alignment import Alignment

_LAST_STEP = 1e6


def alignment_curve(alignment: Alignment, look: Mapping[str, object], drawn: int) -> dict[str, object]:
    """Return a curve of the target's share beyond the first k modes and, if known, one of the residual.

    Steps are those of gradient descent with learning rate 1 / lambda_max, which differs between networks.

    Args:
        alignment: of a kernel at a snapshot.
        look: how its spectrum is drawn: group, colours, dash and so on.
        drawn: how many such curves a page has.
    """
    resolved, points = len(alignment.target), points_each(drawn, most=120, fewest=30, together=20_000)
    index = thinned(resolved, points).tolist() if resolved else []
    steps = np.geomspace(1.0, _LAST_STEP, points // 2 + 1)
    flow = alignment.residual_over_time(steps / alignment.eigenvalues[0]) if resolved else None
    return {
        **look,
        "index": [0.5, *index],  # a log axis has no zero
        "left": _rounded([alignment.beyond(k) for k in (0, *index)]),
        "known": resolved == alignment.size,
        "modes": alignment.modes(),
        "steps": [] if flow is None else _rounded(steps),
        "least": [] if flow is None else _rounded(flow[0]),
        "most": [] if flow is None else _rounded(flow[1]),
    }


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [rounded(value, 3) for value in values]
