"""JSON files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from ntkspec.report.folders import write_text
from ntkspec.store.disk import writing

# All that taking apart JSON of another shape can raise.
OTHER_SHAPE = (ValueError, LookupError, TypeError, AttributeError)


def write_json(path: Path, content: Any) -> None:
    """Write under a temporary name until all is there; folders are made.

    Raises:
        OutputError: it cannot be written; nothing is left then.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with writing(path, "a file to write", "free some space or choose another place"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(partial, json.dumps(content, allow_nan=False) + "\n")
            os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):  # gone, or in a place that is no folder
            partial.unlink()


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote; ValueError if it is no JSON."""
    return json.loads(path.read_text(encoding="utf-8"))
