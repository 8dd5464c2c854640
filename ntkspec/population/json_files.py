"""JSON files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from ntkspec.errors import OutputError

# All that taking apart JSON of another shape can raise.
OTHER_SHAPE = (ValueError, LookupError, TypeError, AttributeError)


def write_json(path: Path, content: Any) -> None:
    """Write under a temporary name until all is there; folders are made.

    Raises:
        OutputError: it cannot be written; nothing is left then.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            file.write(json.dumps(content, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # of a place that is no folder
            partial.unlink()
        raise OutputError(
            str(path),
            expected="a file to write",
            got=error.strerror or str(error),
            remedy="free some space or choose another place",
        ) from error


def read_json(path: Path) -> Any:
    """Return what `write_json` wrote; ValueError if it is no JSON."""
    return json.loads(path.read_text(encoding="utf-8"))
