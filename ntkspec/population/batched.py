"""A batch: which run files are asked for, which of them are done, and what is said of the rest."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ntkspec.durations import format_seconds
from ntkspec.errors import UsageError
from ntkspec.population.analysis_job import RunDone, RunJob
from ntkspec.population.json_files import OTHER_SHAPE, read_json
from ntkspec.population.report import Failed
from ntkspec.population.report.write import FOLDER, JSON
from ntkspec.population.results import Made, all_failures, all_made, asked, is_whole
from ntkspec.run_analysis import RunSettings


def run_files(patterns: Sequence[str]) -> list[str]:
    """Return the absolute paths of the files that patterns name, by name and each file once.

    Args:
        patterns: paths, or patterns with * and **; a folder stands for all *.h5 below it.

    Raises:
        UsageError: one names no file.
    """
    files: dict[str, str] = {}
    for pattern in patterns:
        inside = f"{glob.escape(pattern)}/**/*.h5" if os.path.isdir(pattern) else pattern
        exists = bool(pattern) and os.path.lexists(pattern) and inside == pattern
        named = [pattern] if exists else glob.glob(inside, recursive=True) if pattern else []
        if not named:
            raise UsageError(
                repr(pattern),
                expected="a run file, a folder of some, or a pattern that names some",
                got="nothing of that name",
                remedy="check it, and quote patterns, lest the shell take ** for *",
            )
        for path in sorted(map(os.path.abspath, named), key=lambda path: (len(path), path)):
            files.setdefault(os.path.realpath(path), path)  # links may lead round in circles
    return sorted(files.values())


def share_of(files: Sequence[str], share: str) -> Sequence[str]:
    """Return every N-th file from the I-th on, of a share "I/N" that counts from 0.

    Raises:
        UsageError: it is no such share.

    Example:
        >>> share_of(["a", "b", "c"], "0/2")
        ['a', 'c']
    """
    first, slash, step = share.partition("/")
    if not (slash and first.isascii() and first.isdigit() and step.isascii() and step.isdigit()) or not (
        len(step) < 10 and int(first) < int(step)
    ):
        raise UsageError("--share", expected="I/N with 0 <= I < N", got=repr(share), remedy="such as 0/8")
    return files[int(first) :: int(step)]


def remaining(files: Sequence[str], job: RunJob) -> list[RunJob]:
    """Return the jobs of the files whose results are not known to be there.

    Args:
        files: absolute paths.
        job: what is to be done with each.
    """
    done: set[str] = set()
    if not job.again:
        results, wanted = Path(job.results), asked(job.settings)
        for made in all_made(results):
            if made.asked == wanted and is_whole(made.folder(results), pages=job.pages):
                done.update(run for run in made.seen if made.is_of(run))
    return [replace(job, run=file) for file in files if file not in done]


@dataclass(frozen=True)
class Gathered:
    """The results of a population."""

    made: Sequence[Made]  # those of the runs as their files are now, each once
    failures: Sequence[Failed]  # runs that have none

    @property
    def broken(self) -> list[str]:
        """Return the bounds and checks that do not hold."""
        return [statement for made in self.made for statement in made.broken]


def gather(results: Path, settings: RunSettings, files: Iterable[str] | None) -> Gathered:
    """Return what there is of each run for these settings.

    Of a file that was changed those results count that are of its bytes as they are now, as far as that is
    known; else those of the newest. Runs whose files have equal bytes and names count once.

    Args:
        results: folder of the batch.
        settings: how the runs were analysed; if none were, and all were analysed in one other way, that way.
        files: absolute paths of the runs; None: all that have results.

    Raises:
        UsageError: there are results of several other settings, and none of these.
    """
    wanted = None if files is None else frozenset(files)
    made = [each for each in all_made(results) if wanted is None or not wanted.isdisjoint(each.seen)]
    way = _way(results, {each.asked for each in made}, asked(settings))
    last: dict[str, Made] = {}
    for each in made:
        if each.asked == way:
            for run in each.seen if wanted is None else wanted.intersection(each.seen):
                if run not in last or _newness(each, run) > _newness(last[run], run):
                    last[run] = each
    failures = [
        failed
        for failed in all_failures(results, way)
        if (wanted is None or failed.path in wanted)
        and not (failed.path in last and last[failed.path].is_of(failed.path))
    ]
    for failed in failures:  # what there is of it is of bytes that are gone
        last.pop(failed.path, None)
    return Gathered(list({each.folder(results): each for each in last.values()}.values()), failures)


def _newness(made: Made, run: str) -> tuple[bool, int]:
    return made.is_of(run), made.seen[run][1]


def _way(results: Path, ways: set[str], wanted: str) -> str:
    """Choose among the settings of which there are results."""
    if wanted not in ways and len(ways) > 1:
        raise UsageError(
            str(results),
            expected="results of these settings",
            got=f"those of {len(ways)} other settings or versions",
            remedy="give the settings that the runs were analysed with",
        )
    return wanted if wanted in ways or not ways else next(iter(ways))


def is_reported(population: Path, gathered: Gathered) -> bool:
    """Return whether the report of a population is there, and one of just these results and failures."""
    results = population.parent
    try:
        content = read_json(population / JSON)
        folders = {run["folder"] for run in content["runs"]}
        said = [Failed(**failure) for failure in content["failures"]]
    except (OSError, *OTHER_SHAPE):
        return False
    whole = all((population / name).is_file() for name in FOLDER.files)
    same = folders == {made.folder(results).name for made in gathered.made}
    return whole and same and said == list(gathered.failures)


@dataclass
class Tally:
    """How far a batch is; said to people."""

    total: int  # jobs
    analysed: int = 0
    there: int = 0
    failed: int = 0
    broken: int = 0  # statements that do not hold, of runs that came to an end

    @property
    def ended(self) -> int:
        """Return how many jobs came to their end."""
        return self.analysed + self.there + self.failed

    def add(self, answer: RunDone | None) -> None:
        """Count a job that ended, None for one that failed."""
        if answer is None:
            self.failed += 1
        else:
            self.analysed += answer.analysed
            self.there += not answer.analysed
            self.broken += len(answer.broken)

    def text(self, at_work: int, seconds: float) -> str:
        """Say how many are done, failed and at work, and how long the rest may take.

        Example:
            >>> Tally(200, analysed=12, failed=1).text(2, seconds=60.0)
            '12 done, 1 failed, 2 at work of 200, about 14 min left'
        """
        words = f"{self.analysed + self.there} done, {self.failed} failed, {at_work} at work of {self.total}"
        if not self.ended or self.ended == self.total:
            return words
        left = seconds / self.ended * (self.total - self.ended)
        return f"{words}, about {format_seconds(left)} left"
