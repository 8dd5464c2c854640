"""Read picture files of any format as colours in [0, 1], or say in one line why that fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ntkspec._io import first_line
from ntkspec.errors import UsageError
from ntkspec.nets.pictures.decoders import decode
from ntkspec.nets.pictures.raster import Raster, UnreadableError, paint

REMEDY = "give a picture that Pillow reads, such as a PNG or a JPEG"
SMALLER = "scale it down"


def read_picture(path: Path, *, grey: bool = False) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Read the square in the middle of a picture: float32 (edge, edge, 1 or 3) in [0, 1], and notes on it.

    Samples are taken as they are stored, at their full depth, without regard to gamma and colour profiles.
    Transparent pictures are laid on white; of an animation or a file of pages the first is taken; the
    camera's orientation is obeyed. CMYK becomes (1 - ink)(1 - black). Numbers of an unknown scale are
    stretched to [0, 1], and small ones in 32 bits taken for 8 or 16, with a note; those that hardly use their
    range are noted, too.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        raster = _read(path)
        colours, note = paint(raster, grey=grey)
        return colours, (*raster.notes, note) if note else raster.notes
    except UnreadableError as error:
        got, remedy = error.got, error.remedy
    except UnidentifiedImageError:
        got, remedy = "a file that Pillow does not recognise", REMEDY
    except Image.DecompressionBombError as error:
        got, remedy = f"one too large to be safe ({error})", SMALLER
    except MemoryError:
        got, remedy = "one that does not fit in memory", SMALLER
    except OSError as error:
        got, remedy = error.strerror or first_line(error), REMEDY
    except (ValueError, SyntaxError, EOFError) as error:  # with which Pillow and tifffile say what is wrong
        got, remedy = first_line(error), REMEDY
    except Exception as error:  # what else a damaged or foreign file makes them raise says nothing to a user
        got, remedy = f"a damaged file ({type(error).__name__})", REMEDY
    raise UsageError(str(path), expected="a readable picture", got=got, remedy=remedy)


def _read(path: Path) -> Raster:
    if path.is_dir():
        raise UnreadableError("a folder", "name the picture in it")
    if path.exists() and not path.is_file():
        raise UnreadableError("no regular file", REMEDY)
    return decode(path.read_bytes())
