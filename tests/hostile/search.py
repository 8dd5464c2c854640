"""Try many cases in several processes, and say what was found; shared by the searches of this folder."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

BATCH = 500


def main(
    doc: str | None,
    cases: int,
    try_many: Callable[[range], list[Any]],
    summary: Callable[[list[Any]], dict[str, Any]],
    batch: int = BATCH,
) -> int:
    """Try as many cases as the command line asks for; return 1 if the summary has violations."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=cases)
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path, help="put the summary into this file, too")
    options = parser.parse_args()
    start = time.monotonic()
    stop = options.seed + options.cases
    batches = [range(at, min(at + batch, stop)) for at in range(options.seed, stop, batch)]
    with ProcessPoolExecutor(options.processes) as pool:
        results = [result for found in pool.map(try_many, batches) for result in found]
    found = summary(results) | {"seconds": round(time.monotonic() - start)}
    tell(found, options.write)
    return 1 if found["violations"] else 0


def tell(summary: dict[str, Any], place: Path | None) -> None:
    """Print a summary, and write it to a file where one is asked for."""
    text = json.dumps(summary, indent=1)
    print(text)
    if place:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n", encoding="utf-8")
