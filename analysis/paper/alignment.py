"""Beyond the paper: does it tell how well a picture is drawn, in how few modes of the kernel it lies?

    python analysis/paper/alignment.py PICTURES -o paper/alignment --results paper/results

Half of the pixels, at random, are learnt by all six presets, the other half judged apart, as in `held_out.py`. Kernels
are taken before training ("init"), in the middle and at the end, at 1024 samples of the pixels that are learnt; the target
is the picture's values there, less their mean. Five pictures are trained at once, from the same weights; every five have
a seed of their own, and are spread over the folder as all are.

The rules, which were written down before any number was seen. Of each picture, Kendall's tau over the six presets, between
a number of the kernel and the PSNR at the end of training, with that sign of the number which the claim calls good: little
of the target beyond the leading 128 modes, few modes for 90% of it, a large lambda_min, a kernel far from that at init.
What is known to lie between two ends only, as an unresolved lambda_min, is tied with all that it may equal. Over
pictures, the mean of tau with its 95% interval, as in claims.py. A number goes with quality if the whole interval is at
0.6 or above, that is if of the fifteen pairs of presets twelve or more are in order; it does not if all of it is below;
else it is not resolved. The same for the pictures of one preset: tau over the five of a pack, mean and interval over packs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import command
from drawing import NAMES
from held_out import SHARE

from ntkspec.population.jobs import Job

TOGETHER = 5  # pictures trained at once
STAGES = ("init", "mid", "end")
LEADING = 128  # modes
HELD = 0.9  # share of the target
GOES = 0.6  # Kendall's tau from which on a number goes with quality


def jobs(folder: Path, pictures: Sequence[Path], scale: Mapping[str, Any]) -> list[Job]:
    """Make a training for every pack of pictures and preset, pack after pack."""
    packs = -(-len(pictures) // TOGETHER)
    return [
        Job(
            folder,
            tuple(pictures[pack::packs]),
            {"preset": preset, "seed": pack, **scale, "held_out": SHARE},
            {preset: {}},
            kept=frozenset(STAGES),
        )
        for pack in range(packs)
        for preset in NAMES
    ]


def main() -> None:
    """The command line."""
    parser = command.pictures_parser(__doc__, 3)
    options = parser.parse_args()
    made = jobs(options.output, command.pictures_of(options), command.scale_of(options))
    command.make(made, options)


if __name__ == "__main__":
    command.run(main)
