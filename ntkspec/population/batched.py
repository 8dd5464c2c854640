"""A batch: which run files are asked for, which of them are done, and what is said of the rest."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ntkspec.errors import UsageError
from ntkspec.population.analysis_job import RunDone, RunJob
from ntkspec.population.json_files import OTHER_SHAPE, read_json
from ntkspec.population.report import Failed
from ntkspec.population.report.write import JSON
from ntkspec.population.results import Made, all_made, asked
from ntkspec.run_analysis import RunSettings


def run_files(patterns: Sequence[str], results: Path) -> list[str]:
    """Return the absolute paths of the files that patterns name, each once and by name.

    Args:
        patterns: paths, or patterns with * and **; a folder stands for all *.h5 below it.
        results: folder of the batch, in which nothing is looked for.

    Raises:
        UsageError: a pattern names no file.
    """
    files: set[str] = set()
    for pattern in patterns:
        inside = f"{glob.escape(pattern)}/**/*.h5" if Path(pattern).is_dir() else pattern
        named = [os.path.abspath(path) for path in glob.glob(inside, recursive=True)]
        named = [path for path in named if not Path(path).is_relative_to(results)]
        if not named and not glob.has_magic(pattern):
            named = [os.path.abspath(pattern)]  # it may come to be; its failure says that it was not there
        if not named:
            raise UsageError(
                pattern,
                expected="a pattern that names run files",
                got="none of that name",
                remedy="check it, and quote it, lest the shell take ** for *",
            )
        files.update(named)
    return sorted(files)


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
        wanted = asked(job.settings)
        made = (each for each in all_made(Path(job.results)) if each.asked == wanted)
        done = {each.run for each in made if each.is_unchanged()}
    return [replace(job, run=file) for file in files if file not in done]


def newest(results: Path, settings: RunSettings, files: Collection[str] | None) -> list[Made]:
    """Return what there is of each run for these settings: of a file that was changed, the last alone.

    Args:
        results: folder of the batch.
        settings: how the runs were analysed; if none were, and all were analysed in one other way, that way.
        files: absolute paths of the runs; None: all that have results.

    Raises:
        UsageError: there are results of several other settings.
    """
    made = [each for each in all_made(results) if files is None or each.run in files]
    ways = {each.asked for each in made}
    way = asked(settings)
    if way not in ways:
        if len(ways) > 1:
            raise UsageError(
                str(results),
                expected="results of these settings",
                got=f"those of {len(ways)} other settings or versions",
                remedy="give the settings that the runs were analysed with",
            )
        way = next(iter(ways), way)
    last: dict[str, Made] = {}
    for each in made:
        if each.asked == way and (each.run not in last or last[each.run].mtime_ns < each.mtime_ns):
            last[each.run] = each
    return list(last.values())


def is_reported(population: Path, made: Iterable[Made], failures: Sequence[Failed]) -> bool:
    """Return whether the report of a population is one of just these results and failures.

    Args:
        population: its folder.
        made: the results, whose folders are named after what they are made of.
        failures: runs that came to nothing.
    """
    results = population.parent
    try:
        content = read_json(population / JSON)
        folders = {run["folder"] for run in content["runs"]}
        said = [Failed(**failure) for failure in content["failures"]]
    except (OSError, *OTHER_SHAPE):
        return False
    return folders == {each.folder(results).name for each in made} and said == list(failures)


@dataclass
class Tally:
    """How far a batch is; said to people."""

    total: int  # jobs
    analysed: int = 0
    there: int = 0
    failed: int = 0
    broken: int = 0  # runs of which a bound or a check does not hold

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
            self.broken += bool(answer.broken)

    def text(self, at_work: int, seconds: float) -> str:
        """Say how many are done, failed and at work, and how long the rest may take.

        Example:
            >>> Tally(200, analysed=12, failed=1).text(2, seconds=60.0)
            '12 done, 1 failed, 2 at work of 200, about 15 min left'
        """
        words = f"{self.analysed + self.there} done, {self.failed} failed, {at_work} at work of {self.total}"
        if not self.ended or self.ended == self.total:
            return words
        left = seconds / self.ended * (self.total - self.ended)
        return f"{words}, about {_duration(left)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
