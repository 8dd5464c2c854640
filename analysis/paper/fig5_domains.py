"""Figure 5: mean spectra of all presets, over pictures and over meshes.

python analysis/paper/fig5_domains.py paper/2d paper/3d -o fig5.png
"""

from __future__ import annotations

from pathlib import Path

import command
from drawing import NAMES, Panel, draw_panels, totals
from outcomes import load


def draw(pictures: Path, meshes: Path, output: Path) -> None:
    """A panel for each domain."""
    panels = []
    for study, domain in ((pictures, "pictures"), (meshes, "meshes")):
        outcomes = load(study)
        items = len({each.item for each in outcomes})
        panels.append(Panel(f"{items} {domain}", outcomes, totals(NAMES)))
    draw_panels(panels, output, width=9.6, columns=4)


def main() -> None:
    """The command line."""
    parser = command.parser(__doc__)
    parser.add_argument("pictures", type=Path, help="the 2D study")
    parser.add_argument("meshes", type=Path, help="the 3D study")
    parser.add_argument("-o", "--output", type=Path, default=Path("fig5.png"))
    options = parser.parse_args()
    draw(options.pictures, options.meshes, options.output)


if __name__ == "__main__":
    command.run(main)
