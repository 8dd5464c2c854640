"""Show numbers, lists and objects to people: in a few lines of text, or as a table in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn, Protocol

from ntkspec.errors import UsageError

MOST_LISTED = 6  # items of a list in a line
MOST_ROWS = 30  # of a table in a notebook

_STYLE = "text-align:left"  # which notebooks do not do by themselves


def listed(items: Sequence[str], most: int = MOST_LISTED) -> str:
    """Return the items in a line; of many, the first ones and how many more there are.

    Example:
        >>> listed(["init", "mid", "end"]), listed(["a", "b", "c", "d"], most=2)
        ('init, mid, end', 'a, b and 2 more')
    """
    if len(items) <= most:
        return ", ".join(items)
    return f"{', '.join(items[:most])} and {len(items) - most} more"


def counted(**numbers: int) -> str:
    """Return numbers with their nouns, in the plural where a number is not 1.

    Example:
        >>> counted(sample=1200, output=1)
        '1200 samples, 1 output'
    """
    return ", ".join(f"{number} {noun}{'s' * (number != 1)}" for noun, number in numbers.items())


def digits(value: float | None) -> str:
    """Return a number with four digits, or nothing for None.

    Example:
        >>> digits(17.0), digits(None)
        ('17.00', '')
    """
    return "" if value is None else f"{value:#.4g}"


def format_seconds(seconds: float) -> str:
    """Return a duration with its unit, for people: at least a second.

    Example:
        >>> format_seconds(0.2), format_seconds(720), format_seconds(9000)
        ('1 s', '12 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def html_table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table with a title above it; texts may hold any characters.

    Of more than 30 rows the first ones are shown, and how many more there are.

    Example:
        >>> html_table("Run 'a<b'", ["step"], [[0]]).count("a&lt;b")
        1
    """
    shown = list(rows)
    lines = [
        f'<table><caption style="{_STYLE}">{html.escape(title)}</caption>',
        f"<thead>{_row('th', header)}</thead><tbody>" if header else "<tbody>",
        *(_row("td", row) for row in shown[:MOST_ROWS]),
    ]
    if len(shown) > MOST_ROWS:
        lines.append(_row("td", [f"... and {len(shown) - MOST_ROWS} more"]))
    return "\n".join([*lines, "</tbody></table>"])


def _row(tag: str, cells: Sequence[object]) -> str:
    inside = "".join(f'<{tag} style="{_STYLE}">{html.escape(str(cell))}</{tag}>' for cell in cells)
    return f"<tr>{inside}</tr>"


class NotAnArray:
    """A base class of objects that hold arrays and are none.

    Without it `np.asarray(spectrum)` is an array of shape () that holds the object, and whatever is computed
    with it fails later, or not at all.
    """

    _ARRAYS = ""  # what to take instead: "spectrum.eigenvalues (m,)"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        """Raise `UsageError`, which names the arrays to take instead."""
        raise UsageError(f"{type(self).__name__} as an array", expected=self._ARRAYS, got="the object itself")


class _Sequence(Protocol):
    def __getitem__(self, key: Any, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...


class Named:
    """A base class of sequences whose items have names: `"end" in run` says whether `run["end"]` is there."""

    def __contains__(self: _Sequence, wanted: object) -> bool:
        try:
            self[wanted]
        except UsageError:
            return any(item is wanted for item in self)
        return True
