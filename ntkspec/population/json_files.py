"""JSON files that are whole or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ntkspec._io import replacing
from ntkspec.report.folders import write_text
from ntkspec.store.disk import writing

# All that taking apart JSON of another shape can raise.
OTHER_SHAPE = (ValueError, LookupError, TypeError, AttributeError)


def write_json(path: Path, content: Any) -> None:
    """Write under a temporary name until all is there; folders are made.

    Raises:
        OutputError: it cannot be written; nothing is left then.
    """
    with writing(path, "a file to write", "free some space or choose another place"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            write_text(part, json.dumps(content, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote; ValueError if it is no JSON."""
    return json.loads(path.read_text(encoding="utf-8"))
