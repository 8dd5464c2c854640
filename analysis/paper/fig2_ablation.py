"""Figure 2, the ablation: baseline, MPE, and MPE without the grid's gradients; mean over pictures with band.

python -m analysis.paper.fig2_ablation paper/2d -o fig2.png
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.paper import command
from analysis.paper.drawing import NAMES, Panel, draw_panels
from ntkspec.population.outcomes import Outcome


def draw(outcomes: Sequence[Outcome], output: Path) -> None:
    """A panel for the coarse grid and one for the fine."""
    panels = [
        Panel(NAMES[name], outcomes, [("baseline", "total"), (name, "no_grid"), (name, "total")])
        for name in ("mpe-coarse", "mpe-fine")
    ]
    draw_panels(panels, output, width=9.2, columns=3)


if __name__ == "__main__":
    command.of_outcomes(__doc__, draw, "study", output="fig2.png")
