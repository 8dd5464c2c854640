"""The 2D image task: learn a picture's colours from the coordinates of its pixels."""

from __future__ import annotations

import math
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ntkspec.errors import UsageError
from ntkspec.nets.samples import sample_learnt, sample_pixels
from ntkspec.nets.task import Loss, Picture, Predict

__all__ = ["ImageTask", "load_image", "pixel_centres", "to_uint8"]

Pixels = NDArray[np.float32]

REMEDY = "give a picture that Pillow reads, such as a PNG or a JPEG"
SMALLER = "scale it down"
HELD_OUT_SEED = 1


@dataclass(frozen=True)
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
        """The pixels that are not held out, ascending."""
        return np.delete(np.arange(len(self.values)), self.held_out)

    @property
    def channels(self) -> int:
        """c: 1 for grey, 3 for RGB."""
        return int(self.values.shape[1])

    def image(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (side^2, c) as a picture (side, side, c)."""
        return values.reshape(self.side, self.side, self.channels)

    @property
    def truth(self) -> Picture:
        """The picture as it was read."""
        return to_uint8(self.image(self.values))

    def sample(self, pattern: str, n: int, seed: int) -> NDArray[np.int64]:
        """Rows of about n pixels that are learnt; see `sample_pixels` and `sample_learnt`."""
        if len(self.held_out):
            return sample_learnt(pattern, self.learnt, n, seed)
        return sample_pixels(pattern, self.side, n, seed)

    def judge(self, predicted: Pixels, predict: Predict) -> tuple[dict[str, float], Picture]:
        """PSNR, MS-SSIM and the picture that the network draws; see `picture_metrics`.

        Where pixels are held out, these are still of all pixels, and "psnr_db_learnt" and "psnr_db_held_out"
        tell the two sorts apart.
        """
        from ntkspec.nets.metrics import picture_metrics, psnr  # torch, which reading does not need

        drawn = self.image(predicted)
        metrics = picture_metrics(self.image(self.values), drawn)
        if len(self.held_out):
            for sort, rows in (("learnt", self.learnt), ("held_out", self.held_out)):
                metrics |= psnr(self.values[rows], predicted[rows], f"psnr_db_{sort}")
        return metrics, to_uint8(drawn)


def pixel_centres(side: int) -> Pixels:
    """Centres (x, y) in [0, 1]^2 of side x side pixels, row by row: float32 (side^2, 2).

    >>> pixel_centres(2).tolist()
    [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """
    axis = (np.arange(side) + 0.5) / side
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def to_uint8(image: NDArray[Any]) -> NDArray[np.uint8]:
    """A picture (H, W, c) in [0, 1] as uint8, (H, W) for one channel; values outside are clipped."""
    levels: NDArray[np.uint8] = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return np.squeeze(levels, axis=-1) if levels.shape[-1] == 1 else levels


def load_image(path: str | Path, side: int, *, grey: bool = False, held_out: float = 0.0) -> ImageTask:
    """Read a picture, crop its centre to a square and resize that, antialiased, to side x side.

    Transparent pictures are laid on white; of an animation the first frame is taken; the camera's orientation
    is obeyed. Grey pictures of 16 and more bits keep their depth.

    Args:
        path: any picture that Pillow reads.
        side: pixels a side.
        grey: make a coloured picture grey.
        held_out: share of the pixels that are not learnt, in [0, 1). They are drawn at random, the same of
            all pictures of that side.

    Raises:
        UsageError: the picture cannot be read.
    """
    picture = _open(Path(path))
    edge = min(picture.size)
    notes = [f"{path} has {edge} pixels on its shorter side: enlarged to {side}"] if edge < side else []
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    picture = picture.crop((left, top, left + edge, top + edge))
    channels, note = _channels(picture, path, grey)
    notes += [f"{path} {note}"] if note else []
    resized = [_resize(channel, side) for channel in channels]
    values = np.stack(resized, axis=-1).reshape(side * side, len(resized))
    return ImageTask(pixel_centres(side), values, side, tuple(notes), _held_out(held_out, side * side))


def _held_out(share: float, pixels: int) -> NDArray[np.int64]:
    count = min(math.ceil(share * pixels), pixels - 1)
    chosen = np.random.default_rng(HELD_OUT_SEED).choice(pixels, size=count, replace=False)
    return np.sort(chosen).astype(np.int64)


def _open(path: Path) -> Image.Image:
    """The first frame, decoded and turned upright."""
    remedy = REMEDY
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                return ImageOps.exif_transpose(picture)
    except UnidentifiedImageError:
        got = "a file that Pillow does not recognise"
    except Image.DecompressionBombError as error:
        got, remedy = f"one too large to be safe ({error})", SMALLER
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        got = getattr(error, "strerror", None) or str(error) or type(error).__name__
    except MemoryError:
        got, remedy = "one that does not fit in memory", SMALLER
    raise UsageError(str(path), expected="a readable picture", got=got, remedy=remedy)


def _channels(picture: Image.Image, path: str | Path, grey: bool) -> tuple[list[Pixels], str]:
    """One or three arrays (H, W) in [0, 1], and a note if they had to be rescaled by guess."""
    if picture.mode.startswith("I;16"):
        return [_scaled(picture, 65535)], ""
    if picture.mode in ("I", "F"):
        return _deep_grey(np.asarray(picture).astype(np.float64), path, integer=picture.mode == "I")
    picture = _on_white(picture)
    picture = picture.convert("L" if grey or picture.mode in ("1", "L") else "RGB")
    return [_scaled(band, 255) for band in picture.split()], ""


def _scaled(band: Image.Image, white: int) -> Pixels:
    values: Pixels = np.asarray(band, dtype=np.float32)
    return values / np.float32(white)


def _on_white(picture: Image.Image) -> Image.Image:
    """The picture without transparency."""
    if not picture.has_transparency_data:
        return picture
    rgba = picture.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    opaque = Image.alpha_composite(white, rgba)
    return opaque.convert("L" if picture.mode in ("1", "L", "LA", "La") else "RGB")


def _deep_grey(values: NDArray[np.float64], path: str | Path, *, integer: bool) -> tuple[list[Pixels], str]:
    """Grey of 32 bits: of an unknown scale, unless it fits that of 16-bit integers or of floats in [0, 1]."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low + high):
        raise UsageError(str(path), expected="finite grey values", got="NaN or Inf", remedy=REMEDY)
    scale = 65535.0 if integer else 1.0
    if low >= 0 and high <= scale:
        return [(values / scale).astype(np.float32)], ""
    note = f"has grey values from {low:g} to {high:g}: rescaled to [0, 1]"
    return [((values - low) / max(high - low, 1e-300)).astype(np.float32)], note


def _resize(channel: Pixels, side: int) -> Pixels:
    if channel.shape == (side, side):
        return channel
    resized = Image.fromarray(channel).resize((side, side), Image.Resampling.LANCZOS)
    return np.clip(np.asarray(resized, dtype=np.float32), 0, 1)
