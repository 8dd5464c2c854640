"""The 2D study: every picture of a folder, six presets, spectra in the middle and at the end of training.

    python -m analysis.paper.runs2d PICTURES -o paper/2d                   # all pictures, 192 x 192
    python -m analysis.paper.runs2d PICTURES -o paper/2d --count 10        # ten of them, evenly spread
    python -m analysis.paper.runs2d PICTURES -o paper/2d-full --side 512 --iterations 5000 --batch 65536 \\
        --device cuda                                                      # larger pictures, on a GPU

Ten pictures are trained at once, from the same weights; every ten have a seed of their own.
"""

from __future__ import annotations

from analysis.paper import command
from analysis.paper.study import trainings
from ntkspec.commands.cli import positive
from ntkspec.nets.presets import PRESETS


def main() -> None:
    """Make what is missing."""
    parser = command.pictures_parser(__doc__, None)
    parser.add_argument(
        "--together", type=positive(int), default=10, help="pictures that are trained at once (default 10)"
    )
    options = parser.parse_args()
    pictures, jobs = command.pictures_of(options), []
    for seed, start in enumerate(range(0, len(pictures), options.together)):
        named = {preset: {"preset": preset, "seed": seed} for preset in PRESETS}
        together = pictures[start : start + options.together]
        jobs += trainings(named, options.output, together, command.scale_of(options))
    command.make(jobs, options)


if __name__ == "__main__":
    command.run(main)
