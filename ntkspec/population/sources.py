"""Find the pictures or meshes that a population learns from, and check that no two have the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ntkspec.errors import UsageError
from ntkspec.report.thinning import few

PICTURES = frozenset({".jpeg", ".jpg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
MESHES = frozenset({".ply", ".obj", ".stl", ".off", ".glb"})


def sources_in(
    folder: Path, endings: Iterable[str], count: int | None = None, *, remedy: str = "name another folder"
) -> tuple[Path, ...]:
    """Return the files of a folder that have these endings, sorted, or `count` of them, evenly spread.

    If the folder itself has none, the first such file of each of its subfolders is taken.

    Args:
        folder: where to look.
        endings: in lower case, with their dots.
        count: how many; default: all.
        remedy: what to do, for the error where there are none.

    Raises:
        UsageError: there are none, or two of one name.
    """
    wanted = " or ".join(sorted(endings))
    if not folder.is_dir():
        raise UsageError(str(folder), expected=f"a folder of {wanted} files", got="none", remedy=remedy)
    sources = _files(folder, endings)
    if not sources:
        inner = (_files(path, endings) for path in sorted(folder.iterdir()) if path.is_dir())
        sources = [files[0] for files in inner if files]
    stems = [path.stem for path in sources]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise UsageError(
            str(folder), expected="files of different names", got=f"{twice} twice", remedy="rename one"
        )
    if not sources:
        raise UsageError(str(folder), expected=f"{wanted} files in it", got="none", remedy=remedy)
    return tuple(sources if count is None else (sources[i] for i in few(len(sources), count)))


def check_apart(sources: Iterable[Path]) -> None:
    """Require that no picture or mesh occurs twice.

    Raises:
        UsageError: two files have the same bytes.
    """
    seen: dict[str, Path] = {}
    for source in sorted(sources):
        other = seen.setdefault(sha256(source), source)
        if other != source:
            raise UsageError(
                str(source),
                expected="a picture or mesh that differs from the others",
                got=f"the bytes of {other}",
                remedy="take one of the two away",
            )


def sha256(source: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def _files(folder: Path, endings: Iterable[str]) -> list[Path]:
    """Return the files with these endings that are not hidden, sorted."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in endings and path.is_file() and not path.name.startswith(".")
    )
