"""Check where results are written, against each other and the inputs, before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ntkspec._io import new_parents
from ntkspec.errors import OutputError, UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel.files import check_kernel_file
from ntkspec.report.folders import check_parent, resolved
from ntkspec.report.names import apart, numbered
from ntkspec.report.write import FOLDER, JSON, check_folder, check_json_file


@dataclass(frozen=True)
class Places:
    """The paths that one analysis writes to."""

    folder: Path  # of the report
    json: Path | None = None  # a further file for report.json
    kernels: Path | None = None  # folder
    overwrite: bool = False  # a report that somebody added to is replaced, too, and what was added stays

    def check(self, inputs: Sequence[Path]) -> None:
        """Check the paths before anything is written.

        Raises:
            OutputError: one of them cannot be written, two of them conflict, or an input is in the folder.
        """
        check_folder(self.folder, overwrite=self.overwrite)
        folder = resolved(self.folder)
        for path in inputs:
            if any(place.is_relative_to(folder) for place in (resolved(path), path.absolute())):
                expected, got = "a folder that can be replaced as a whole", f"that of the input {path}"
                raise _refused(self.folder, expected, got, "⟦-o|folder⟧")
        if self.kernels:
            self._check_kernels(self.kernels)
        if self.json:
            self._check_json(self.json)

    def _check_kernels(self, kernels: Path) -> None:
        place = resolved(kernels)
        check_kernel_folder(kernels)
        check_parent(kernels, place / "kernel.h5")
        if place.is_relative_to(resolved(self.folder)):
            got = f"one in the report's folder {self.folder}, which is replaced as a whole"
            raise _refused(kernels, "a folder for kernels", got, "⟦--kernels⟧")

    def _check_json(self, json: Path) -> None:
        place, folder = resolved(json), resolved(self.folder)
        for other in filter(None, (self.folder, self.kernels)):
            if resolved(other).is_relative_to(place):
                raise _refused(json, "a file to write", f"the folder {other}, or one around it", "⟦--json⟧")
        among_kernels = self.kernels is not None and place.parent == resolved(self.kernels)
        if among_kernels and place.suffix in (".h5", ".part", ".new", ".tiles"):
            raise _refused(json, "a name that no kernel file has", "one of theirs", "⟦--json⟧")
        if not place.is_relative_to(folder):
            check_json_file(json)
        elif place.parent != folder or place.suffix != ".json" or place.name in FOLDER.names - {JSON}:
            got = f"another place in the report's folder {self.folder}"
            raise _refused(json, "a file outside, or <name>.json in it", got, "⟦--json⟧")


@contextmanager
def kernel_files(
    paths: Sequence[Path], ids: Sequence[Sequence[str]], folder: Path
) -> Iterator[list[dict[str, Path]]]:
    """Yield where the kernels of each run go, by snapshot id: `<folder>/<run>-<snapshot id>.h5`.

    The folder is made, and removed if anything fails before a file is in it.

    Raises:
        UsageError: two kernels would go to one file.
        OutputError: something else has such a name, or the folder cannot be made.
    """
    pairs = zip(paths, ids, strict=True)
    files = [{id: folder / f"{path.stem}-{id}.h5" for id in of_run} for path, of_run in pairs]
    every = [file for of_run in files for file in of_run.values()]
    if len(set(every)) < len(every):
        raise UsageError(
            "⟦--kernels⟧",
            expected="run files of different names, from which those of the kernels are made",
            got=", ".join(str(path) for path in paths),
            remedy="rename one, or analyse them one after the other",
        )
    check_kernel_folder(folder)
    for file in every:
        check_parent(folder, file)
        check_kernel_file(file)
    with new_parents(every[0]):
        yield files


def names_in_file(sums: Mapping[str, Jacobian]) -> dict[str, Jacobian]:
    """Return the sums of blocks under names that an HDF5 file can contain, since roles may have any name."""
    names = [name.replace("/", "|").replace("\0", "|") for name in sums]
    names = [f"role {name}" if name in (".", "..") else name for name in names]
    return dict(zip(apart(names, lambda i: numbered(names[i])), sums.values(), strict=True))


def check_kernel_folder(folder: Path) -> None:
    """Raise `OutputError` if something other than a folder has this path."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise _refused(folder, "a folder for kernels", "a file", "⟦--kernels⟧")


def _refused(named: Path, expected: str, got: str, option: str) -> OutputError:
    return OutputError(str(named), expected=expected, got=got, remedy=f"name another place with {option}")
