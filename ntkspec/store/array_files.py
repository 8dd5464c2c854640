"""Read one array from a .npy or .npz file; nothing in the file is executed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from ntkspec._io import first_line
from ntkspec.errors import UsageError
from ntkspec.store.checks import AnyArray

_NPY, _ZIP = b"\x93NUMPY", b"PK"  # how such files begin


def read_array(path: Path, option: str) -> AnyArray:
    """Read the array of a .npy file, or of a .npz file that holds one array only.

    Args:
        path: the file.
        option: the command's option that names the file, for messages.

    Raises:
        UsageError: the file is of another kind, or cannot be read.
    """
    if not path.is_file():
        raise _refused(path, option, "a folder" if path.is_dir() else "no such file", "check the path")
    try:
        with path.open("rb") as file:
            begin = file.read(len(_NPY))
        if not begin.startswith((_NPY, _ZIP)):
            raise _refused(path, option, "another kind of file", 'write one: numpy.save("x.npy", x)')
        content = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(content, np.ndarray):
            return content
        with content:
            return _only_array(content, path, option)
    except (UsageError, MemoryError):
        raise
    except OSError as error:
        raise _refused(path, option, error.strerror or "one that cannot be read", "check the file") from error
    except Exception as error:  # NumPy raises many kinds for damaged or pickled arrays
        got = f"one that NumPy refuses ({first_line(error)})"
        raise _refused(path, option, got, "write it again") from error


def _only_array(archive: NpzFile, path: Path, option: str) -> AnyArray:
    """Return the one array of a .npz file; raise `UsageError` if it holds anything else."""
    names = list(archive.files)
    if any(name.endswith("data.pkl") for name in names):
        remedy = 'write it by numpy.save("x.npy", x.cpu().numpy())'
        raise _refused(path, option, "a file of torch.save", remedy)
    if len(names) != 1:
        got = f"{len(names)} arrays ({', '.join(names)[:120]})" if names else "no array"
        raise _refused(path, option, got, "keep the one that is meant in a file of its own")
    array: object = archive[names[0]]
    if not isinstance(array, np.ndarray):
        raise _refused(path, option, f"a zip file of {names[0]!r}", 'write it by numpy.save("x.npy", x)')
    return array


def _refused(path: Path, option: str, got: str, remedy: str) -> UsageError:
    expected = "a .npy file, or a .npz file of one array"
    return UsageError(f"{option} {path}", expected=expected, got=got, remedy=remedy)
