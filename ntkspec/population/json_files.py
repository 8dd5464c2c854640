"""Read JSON files, and write them completely or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ntkspec._io import replacing
from ntkspec.report.folders import write_text
from ntkspec.store.disk import writing

# All errors that reading values out of JSON of another shape can raise.
OTHER_SHAPE = (ValueError, LookupError, TypeError, AttributeError)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, and make its folders; the file appears under its name only when it is complete.

    Raises:
        OutputError: it cannot be written; then nothing is left.
    """
    with writing(path, "a file to write", "free some space or choose another place"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            write_text(part, json.dumps(content, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; raise `ValueError` if it is not JSON."""
    return json.loads(path.read_text(encoding="utf-8"))
