"""Figure 4: baseline against FFEs, baseline against MPEs, the highest FFE against MPEs; mean over pictures.

python -m analysis.paper.fig4_panels paper/2d -o fig4.png
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.paper import command
from analysis.paper.drawing import Panel, draw_panels, totals
from ntkspec.population.outcomes import Outcome

PANELS = {
    "Baseline and Fourier features": ("baseline", "ffe-low", "ffe-medium", "ffe-high"),
    "Baseline and multigrid": ("baseline", "mpe-coarse", "mpe-fine"),
    "High Fourier features and multigrid": ("ffe-high", "mpe-coarse", "mpe-fine"),
}


def draw(outcomes: Sequence[Outcome], output: Path) -> None:
    """Three panels."""
    panels = [Panel(title, outcomes, totals(names)) for title, names in PANELS.items()]
    draw_panels(panels, output, width=13.0, columns=8)


if __name__ == "__main__":
    command.of_outcomes(__doc__, draw, "study", output="fig4.png")
