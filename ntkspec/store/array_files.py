"""Read one array from a file of NumPy's, executing nothing in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec._io import first_line
from ntkspec.errors import UsageError

_NPY, _ZIP = b"\x93NUMPY", b"PK"


def read_array(path: Path, option: str) -> NDArray[Any]:
    """Read the array of a .npy file, or of a .npz file that holds one alone.

    Args:
        path: the file.
        option: that names it, for messages.

    Raises:
        UsageError: it is none of these.
    """
    if not path.is_file():
        raise _refused(path, option, "a folder" if path.is_dir() else "no such file", "check the path")
    try:
        with path.open("rb") as file:
            begin = file.read(len(_NPY))
        if not begin.startswith((_NPY, _ZIP)):
            raise _refused(path, option, "another kind of file", 'write one: numpy.save("x.npy", x)')
        found = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(found, np.ndarray):
            return found
        with found:
            return _only(found, path, option)
    except (UsageError, MemoryError):
        raise
    except OSError as error:
        raise _refused(path, option, error.strerror or "one that cannot be read", "check the file") from error
    except Exception as error:  # whatever NumPy raises at damaged or pickled arrays
        said = first_line(error)
        raise _refused(path, option, f"one that NumPy refuses ({said})", "write it again") from error


def _only(found: Any, path: Path, option: str) -> NDArray[Any]:
    names = list(found.files)
    if any(name.endswith("data.pkl") for name in names):
        remedy = 'write it by numpy.save("x.npy", x.cpu().numpy())'
        raise _refused(path, option, "a file of torch.save", remedy)
    if len(names) != 1:
        got = f"{len(names)} arrays ({', '.join(names)[:120]})" if names else "no array"
        raise _refused(path, option, got, "keep the one that is meant in a file of its own")
    array = found[names[0]]
    if not isinstance(array, np.ndarray):
        raise _refused(path, option, f"a zip file of {names[0]!r}", 'write it by numpy.save("x.npy", x)')
    return array


def _refused(path: Path, option: str, got: str, remedy: str) -> UsageError:
    expected = "a .npy file, or a .npz file of one array"
    return UsageError(f"{option} {path}", expected=expected, got=got, remedy=remedy)
