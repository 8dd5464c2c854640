"""Tables in Markdown, and the places in docs/ where scripts put them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

METHOD = Path(__file__).parents[2] / "docs" / "method.md"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column is text, the others numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def put(name: str, text: str, page: Path = METHOD) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- end name -->` in a page.

    Raises:
        ValueError: the page has no such place.
    """
    start, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page}: expected the marks {start.strip()!r} and {end!r}, got none")
    page.write_text(f"{before}{start}\n{text}\n\n{end}{after}", encoding="utf-8")
