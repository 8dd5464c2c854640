"""The run files of the gallery: small networks that learn a picture of 64 x 64 pixels in a second or two.

Each is made once, in the folder `runs` beside this file. Put run files of your own in their place.
"""

from __future__ import annotations

from pathlib import Path

import torch

import ntkspec.nets.image
from ntkspec.nets.presets import resolve
from ntkspec.nets.training import train
from ntkspec.train import write_run

HERE = Path(__file__).parent
PICTURE = HERE.parents[1] / "data" / "pictures" / "astronaut.png"
STEPS = (5, 20, 60)  # snapshots besides the first, the middle and the last


def trained(preset: str, samples: int = 256) -> Path:
    """Train a network with an encoding of `ntkspec.nets.presets`, and return the path of its run file.

    Args:
        preset: such as "mpe-fine".
        samples: pixels at which the kernel is taken, in rows and columns.
    """
    path = HERE / "runs" / f"{preset}-{samples}.h5"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        torch.set_num_threads(1)  # networks this small gain nothing from more
        settings = {"preset": preset, "side": 64, "width": 32, "iterations": 200, "batch": 1024}
        config = resolve(settings, {"samples": samples, "sampling": "grid", "checkpoints": STEPS})
        task = ntkspec.nets.image.load_image(PICTURE, config.side)
        indices = task.sample(config.sampling, config.samples, config.seed)
        write_run(path, train(config, task), task, indices)
    return path
