"""Print lines, and tables without the columns that do not fit on a narrow terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ntkspec.report import words
from ntkspec.report.names import short

_GAP = 2  # spaces between columns


@dataclass(frozen=True, eq=False)
class Column:
    """A column that may be left out where the terminal is narrow."""

    title: str
    keep: int  # columns with a larger number are left out first; 0 never is
    align: Literal["left", "right"] = "left"
    cells: tuple[str, ...] = ()
    least: int = 0  # characters, whatever the cells hold

    @property
    def width(self) -> int:
        return max(self.least, *(Text(cell).cell_len for cell in [self.title, *self.cells]))

    @property
    def filled(self) -> bool:
        return not {"", "-"}.issuperset(self.cells)


def with_rows(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[Column]:
    """Return the columns with the cells of a table's rows, each of which has a cell for each column."""
    cells = zip(*rows, strict=True) if rows else ((),) * len(columns)
    return [replace(column, cells=of_column) for column, of_column in zip(columns, cells, strict=True)]


def alike(tables: Sequence[Sequence[Column]], width: int) -> list[list[Column]]:
    """Give several tables the same columns: those that fit in all, each as wide as its widest cell."""
    widest = [max(column.width for column in columns) for columns in zip(*tables, strict=True)]
    return [
        fitting([replace(column, least=least) for column, least in zip(table, widest, strict=True)], width)
        for table in tables
    ]


def print_columns(console: Console, columns: Sequence[Column]) -> list[Column]:
    """Print the columns that fit, with the colours and boxes that the console shows; return the others."""
    shown = fitting(columns, console.width)
    plain = not console.is_terminal
    table = Table(
        box=None if plain else box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP if plain else _GAP - 1, 0, 0),  # a box adds a space between columns
        header_style="bold" if not plain else "",
    )
    fits = sum(column.width + _GAP for column in shown) <= console.width + _GAP
    for column in shown:
        # Cells are never cut with an ellipsis: a number without its last digits would be another number.
        table.add_column(
            Text(column.title),
            justify=column.align,
            overflow="fold",
            min_width=column.least if fits else None,
        )
    for cells in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*(_cell(cell) for cell in cells))
    console.print(table, highlight=False)
    return [column for column in columns if column not in shown]


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Return the columns that fit; those with the largest `keep` are left out first."""
    shown = list(columns)
    while sum(column.width + _GAP for column in shown) > width + _GAP:
        least = max(shown, key=lambda column: column.keep)
        if least.keep == 0:
            break
        shown.remove(least)
    return shown


def print_line(console: Console, text: str, *, style: str = "", indent: int = 0) -> None:
    """Print a paragraph, wrapped at words; never read as markup."""
    bound_up = text.replace("= ", "=\x1f")  # "<= 3e-9" stays on one line
    lines = textwrap.wrap(
        bound_up,
        max(console.width, 20),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_on_hyphens=False,
    )
    for line in lines:
        console.print(Text(line.replace("\x1f", " "), style=style), highlight=False, soft_wrap=True)


def written(names: Sequence[str], limit: int, console: Console) -> tuple[str, ...]:
    """Return the names with only characters that the console can show, at most `limit` of them.

    Other characters become "?". Names that would be equal are numbered, so that all stay different.
    """
    encoding = console.encoding
    return short([name.encode(encoding, "replace").decode(encoding) for name in names], limit)


def _cell(text: str) -> Text:
    return Text(text, style="yellow" if text.startswith((words.UNRESOLVED, "<= ")) else "")
