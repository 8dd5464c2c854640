"""The 2D study: every picture of a folder, six presets, spectra in the middle and at the end of training.

    python analysis/paper/runs2d.py PICTURES -o paper/2d                   # all pictures, 192 x 192
    python analysis/paper/runs2d.py PICTURES -o paper/2d --count 10        # ten of them, evenly spread
    python analysis/paper/runs2d.py PICTURES -o paper/2d-full --side 512 --iterations 5000 --batch 65536 \\
        --device cuda --workers 1                                          # larger pictures, on a GPU

Ten pictures are trained at once, from the same weights; every ten have a seed of their own.
"""

from __future__ import annotations

from pathlib import Path

import command
from jobs import PICTURES, PRESETS, Job, run_all, sources_in


def main() -> None:
    """Make what is missing."""
    parser = command.parser(__doc__)
    add = parser.add_argument
    add("pictures", type=Path, help="folder of pictures")
    add("-o", "--output", type=Path, required=True, help="folder of the study")
    add("--count", type=int, help="how many of the pictures (default: all)")
    add("--together", type=int, default=10, help="pictures that are trained at once (default 10)")
    add("--side", type=int, default=192, help="pixels a side (default 192)")
    add("--iterations", type=int, default=1000, help="steps of Adam (default 1000)")
    add("--batch", type=int, default=2048, help="pixels a step (default 2048)")
    add("--samples", type=int, default=1024, help="pixels at which the kernel is taken (default 1024)")
    add("--device", default="cpu", help="where to train: cpu or cuda")
    add("--workers", type=int, default=2, help="processes (default 2)")
    options = parser.parse_args()
    pictures = sources_in(options.pictures, PICTURES, options.count)
    scale = {name: getattr(options, name) for name in ("side", "iterations", "batch", "samples")}
    batches = range(0, len(pictures), options.together)
    jobs = [
        Job(
            options.output,
            pictures[start : start + options.together],
            {"preset": preset, "seed": seed, **scale},
            kernels={preset: {}},
            device=options.device,
        )
        for seed, start in enumerate(batches)
        for preset in PRESETS
    ]
    run_all(jobs, options.workers)


if __name__ == "__main__":
    command.run(main)
