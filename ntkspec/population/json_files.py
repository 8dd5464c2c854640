"""JSON files that are whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ntkspec.errors import UsageError

# All that taking apart JSON of another shape can raise.
OTHER_SHAPE = (ValueError, LookupError, TypeError, AttributeError)


def write_json(path: Path, content: Any) -> None:
    """Write under a temporary name until all is there; folders are made.

    Raises:
        UsageError: it cannot be written; nothing is left then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(
            str(path), expected="a file to write", got=error.strerror or str(error), remedy="choose another"
        ) from error


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote; ValueError if it is no JSON."""
    return json.loads(path.read_text(encoding="utf-8"))
