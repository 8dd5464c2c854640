"""The page's title: what was learnt, and by whom."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ntkspec.report import words
from ntkspec.report.records import Report, RunReport
from ntkspec.report.style import styled_runs

_NUMBERS = [
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
_NAMED = 3  # runs or data that a title names


def title(report: Report) -> str:
    """Return a title such as "astronaut.png, learnt by six networks"; of files of one's own, their names.

    Example:
        >>> title(Report("", "", "cpu", ()))
        'No runs'
    """
    if not report.runs:
        return "No runs"
    names = [run.name for run in styled_runs(report)]
    data = list(dict.fromkeys(_data(run) for run in report.runs))
    if "" in data:
        return f"{_listed(names)}: spectra" if len(names) == 1 else f"{_listed(names)}, compared"
    by = names[0] if len(names) == 1 else f"{_number(len(names))} networks"
    return f"{_listed(data)}, learnt by {by}"


def _data(run: RunReport) -> str:
    """The name of the picture's or mesh's file that the trainer's config names, else ""."""
    task = run.config.get("task")
    path = (task.get("image") or task.get("mesh")) if isinstance(task, dict) else None
    return words.clean(re.split(r"[/\\]", path)[-1], 60) if isinstance(path, str) else ""


def _listed(names: Sequence[str]) -> str:
    if len(names) > _NAMED + 1:
        return f"{', '.join(names[:_NAMED])} and {_number(len(names) - _NAMED)} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else f"{count:,}"
