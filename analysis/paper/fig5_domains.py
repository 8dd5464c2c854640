"""Figure 5: mean spectra of all presets, over pictures and over meshes.

python -m analysis.paper.fig5_domains paper/2d paper/3d -o fig5.png
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.paper import command
from analysis.paper.drawing import NAMES, Panel, draw_panels, totals
from ntkspec.population.outcomes import Outcome


def draw(pictures: Sequence[Outcome], meshes: Sequence[Outcome], output: Path) -> None:
    """A panel for each domain."""
    panels = []
    for outcomes, single, domain in ((pictures, "picture", "pictures"), (meshes, "mesh", "meshes")):
        items = len({each.item for each in outcomes})
        panels.append(Panel(f"{items} {domain if items > 1 else single}", outcomes, totals(NAMES)))
    draw_panels(panels, output, width=9.6, columns=4)


if __name__ == "__main__":
    command.of_outcomes(__doc__, draw, "pictures", "meshes", output="fig5.png")
