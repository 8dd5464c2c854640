"""The 2D image task: learn a picture's colours from the coordinates of its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ntkspec.arguments.counts import whole_number
from ntkspec.errors import UsageError, shown
from ntkspec.nets.pictures.read import read_picture
from ntkspec.nets.samples import sample_learnt, sample_pixels
from ntkspec.nets.task import Loss, Picture, Predict
from ntkspec.qualities import PSNR_HELD_OUT, PSNR_LEARNT

if TYPE_CHECKING:
    import torch

__all__ = ["ImageTask", "load_image", "pixel_centres", "to_uint8"]

Pixels = NDArray[np.float32]

HELD_OUT_SEED = 1


@dataclass(frozen=True, eq=False)
class ImageTask:
    """A square picture as a regression task; row i of both arrays is pixel i, counted row by row."""

    loss: ClassVar[Loss] = "squared error"
    unit: ClassVar[str] = "pixels"

    coordinates: Pixels  # (side^2, 2), in [0, 1]
    values: Pixels  # (side^2, c), in [0, 1]; c = 1 or 3
    side: int
    notes: tuple[str, ...] = ()  # what a user should know about how the picture was read
    # Pixels that are not learnt, ascending: int64 (k,).
    held_out: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def learnt(self) -> NDArray[np.int64]:
        """Return the pixels that are not held out, ascending."""
        return np.delete(np.arange(len(self.values)), self.held_out)

    @property
    def channels(self) -> int:
        """Return c: 1 for grey, 3 for RGB."""
        return int(self.values.shape[1])

    def image(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return values (side^2, c) as a picture (side, side, c)."""
        return values.reshape(self.side, self.side, self.channels)

    @property
    def truth(self) -> Picture:
        """Return the picture as it was read."""
        return to_uint8(self.image(self.values))

    def sample(self, pattern: str, n: int, seed: int) -> NDArray[np.int64]:
        """Choose about n pixels that are learnt; see `sample_pixels` and `sample_learnt`."""
        if len(self.held_out):
            return sample_learnt(pattern, self.learnt, n, seed)
        return sample_pixels(pattern, self.side, n, seed)

    def judge(
        self, predicted: Pixels, predict: Predict, device: torch.device | str = "cpu"
    ) -> tuple[dict[str, float], Picture]:
        """Return PSNR, MS-SSIM and the picture that the network draws; see `picture_metrics`.

        Where pixels are held out, these are still of all pixels, and "psnr_db_learnt" and "psnr_db_held_out"
        are those of either part.
        """
        from ntkspec.nets.metrics import picture_metrics, psnr  # torch, which reading does not need

        drawn = self.image(predicted)
        metrics = picture_metrics(self.image(self.values), drawn, device)
        if len(self.held_out):
            for quality, rows in ((PSNR_LEARNT, self.learnt), (PSNR_HELD_OUT, self.held_out)):
                metrics |= psnr(self.values[rows], predicted[rows], quality.name)
        return metrics, to_uint8(drawn)


def pixel_centres(side: int) -> Pixels:
    """Return the centres (x, y) in [0, 1]^2 of side x side pixels, row by row: float32 (side^2, 2).

    >>> pixel_centres(2).tolist()
    [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """
    axis = (np.arange(side) + 0.5) / side
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def to_uint8(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Convert a picture (H, W, c) in [0, 1] to uint8, (H, W) for one channel; values outside are clipped."""
    levels: NDArray[np.uint8] = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.squeeze(levels, axis=-1) if levels.shape[-1] == 1 else levels


def load_image(path: str | Path, side: int, *, grey: bool = False, held_out: float = 0.0) -> ImageTask:
    """Read a picture, crop its centre to a square and resize that, antialiased, to side x side.

    See `ntkspec.nets.pictures.read` for what becomes of depth, transparency and orientation.

    Args:
        path: a PNG, a JPEG, a TIFF or any other picture that Pillow reads.
        side: pixels a side.
        grey: make a coloured picture grey.
        held_out: share of the pixels that are not learnt, in [0, 1). They are drawn at random, the same of
            all pictures of that side.

    Raises:
        UsageError: the picture cannot be read, or side or share are out of range.
    """
    side = whole_number(side, "side", 1)
    if not 0 <= held_out < 1:  # nor NaN
        raise UsageError("held_out", expected="a share from 0, below 1", got=shown(held_out))
    colours, notes = read_picture(Path(path), grey=grey)
    edge, _, channels = colours.shape
    if edge < side:
        notes = (f"has {edge} pixels on its shorter side: enlarged to {side}", *notes)
    resized = np.stack([_resize(colours[..., channel], side) for channel in range(channels)], axis=-1)
    values = resized.reshape(side * side, channels)
    about_file = tuple(f"{path} {note}" for note in notes)
    return ImageTask(pixel_centres(side), values, side, about_file, _held_out(held_out, side * side))


def _held_out(share: float, pixels: int) -> NDArray[np.int64]:
    count = min(math.ceil(share * pixels), pixels - 1)
    chosen = np.random.default_rng(HELD_OUT_SEED).choice(pixels, size=count, replace=False)
    return np.sort(chosen).astype(np.int64)


def _resize(channel: Pixels, side: int) -> Pixels:
    if channel.shape == (side, side):
        return channel
    resized = Image.fromarray(channel).resize((side, side), Image.Resampling.LANCZOS)
    return np.clip(np.asarray(resized, dtype=np.float32), 0, 1)
