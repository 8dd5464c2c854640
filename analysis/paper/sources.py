"""Find the pictures or meshes from which a study learns."""

from __future__ import annotations

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


def _files(folder: Path, endings: Iterable[str]) -> list[Path]:
    """Return the files with these endings that are not hidden, sorted."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in endings and path.is_file() and not path.name.startswith(".")
    )
