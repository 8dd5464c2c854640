"""Results kept beside their run files, so that nothing is made twice and a stopped population goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ntkspec.errors import NtkspecError, UsageError
from ntkspec.population.json_files import OTHER_SHAPE, read_json, write_json

Result = TypeVar("Result")


@dataclass(frozen=True)
class Kept(Generic[Result]):
    """One kind of result: `goldfish/mpe.json` beside `goldfish/mpe.h5`.

    What is there counts if it is whole, of this version, newer than the run file and the run's own; else it
    is made again. A run file may be deleted once it has a result.
    """

    name: str  # of the result in the file, beside "version"
    said: str  # the same in messages, such as "an outcome"
    version: int  # raise it where the analysis changes, and all is analysed anew
    make: Callable[[Path], Result]  # from a run file
    to_tree: Callable[[Result], Any]  # as JSON can carry it
    from_tree: Callable[[Any], Result]  # raises `NtkspecError` or one of `OTHER_SHAPE` for what is none
    belongs: Callable[[Result, Path], bool]  # whether the result is of that run file, by what it says

    def find(self, run_file: Path) -> Result | None:
        """Return what is kept of a run, or None; damaged files and those of other runs count as none."""
        place = run_file.with_suffix(".json")
        if not place.exists() or (run_file.exists() and place.stat().st_mtime < run_file.stat().st_mtime):
            return None
        try:
            content = read_json(place)
            found = self.from_tree(content[self.name]) if content["version"] == self.version else None
        except (NtkspecError, *OTHER_SHAPE):
            return None
        return found if found is not None and self.belongs(found, run_file) else None

    def of(self, run_file: Path) -> Result:
        """Return what is kept of a run, made and written first where there is none.

        Raises:
            NtkspecError: the run file is bad, or nothing can be written beside it.
        """
        found = self.find(run_file)
        if found is None:
            found = self.make(run_file)
            content = {"version": self.version, self.name: self.to_tree(found)}
            write_json(run_file.with_suffix(".json"), content)
        return found

    def all_in(self, place: Path) -> list[Result]:
        """Return the results of all runs in a folder of folders; none if it has no runs.

        Raises:
            UsageError: a result is of an older version or damaged, and its run file gone.
        """
        runs = set(place.glob("*/*.h5"))
        found = [self.of(path) for path in sorted(runs)]
        for path in sorted({path.with_suffix(".h5") for path in place.glob("*/*.json")} - runs):
            kept = self.find(path)
            if kept is not None:
                found.append(kept)
            elif self._was_ours(path.with_suffix(".json")):
                raise UsageError(
                    str(path.with_suffix(".json")),
                    expected=f"{self.said} of version {self.version}, or its run file to analyse again",
                    got="neither",
                    remedy="delete it and let the study make it again",
                )
        return found

    def _was_ours(self, path: Path) -> bool:
        """Whether this is a result of another version, or nothing that can be read."""
        try:
            content = read_json(path)
            return has_members(content, self.name) and content["version"] != self.version
        except ValueError:
            return True


def has_members(content: Any, *names: str) -> bool:
    """Return whether a file has just these members, and a version."""
    return isinstance(content, dict) and set(content) == {"version", *names}
