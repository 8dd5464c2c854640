"""Do two reports of the same run files say the same? What differs in any digit is listed.

    python analysis/studies/same_report.py before.json after.json

For changes that are to add no number: run `python -m ntkspec.analyze RUNS --json FILE` with the code before
and after, then this. Exit code 0: words, verdicts, methods, counts and ranks are equal, eigenvalues within
the errors that both reports state, and all other numbers equal to six digits; 1: something is not.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkspec import read_report
from ntkspec.report.to_json import to_json

MADE = {
    "created",
    "producer",
    "path",
    "warnings",
    "trace_error",
    "inputs",
    "digest",
    "place",
}  # of the run, or not in older files
DIGITS = 1e-6


@dataclass(frozen=True)
class Difference:
    """Something that two reports say differently."""

    where: str
    what: str
    matters: bool  # words, counts, or a number that is off by more than it may


def differences(before: Any, after: Any, where: str = "") -> Iterator[Difference]:
    """Yield what differs between two trees of JSON, a line for each place."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after} - MADE):
            if name == "eigenvalues":
                yield from _of_eigenvalues(before, after, where)
            elif name == "kernel_distance" and not (before[name] and after[name]):
                continue  # older files have none
            elif name in before and name in after:
                yield from differences(before[name], after[name], f"{where}/{name}")
            else:
                yield Difference(f"{where}/{name}", "in one of them alone", True)
    elif _numbers(before) and _numbers(after) and len(before) == len(after):
        yield from _of_numbers(before, after, where)
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield Difference(where, f"{len(before)} and {len(after)} entries", True)
        for i, (one, other) in enumerate(zip(before, after, strict=False)):
            name = one.get("label") or one.get("name") or i if isinstance(one, dict) else i
            yield from differences(one, other, f"{where}/{name}")
    elif isinstance(before, float) and isinstance(after, float):
        yield from _of_numbers([before], [after], where)
    elif before != after:
        yield Difference(where, f"{before!r} and {after!r}", True)


def _of_eigenvalues(before: Any, after: Any, where: str) -> Iterator[Difference]:
    one, other = np.array(before["eigenvalues"]), np.array(after["eigenvalues"])
    if one.shape != other.shape:
        yield Difference(f"{where}/eigenvalues", f"{len(one)} and {len(other)}", True)
    elif (off := np.abs(one - other)).any():
        allowed = np.array(before["error"], dtype=float) + np.array(after["error"], dtype=float)
        worst = float(np.max(off / np.maximum(allowed, np.finfo(float).tiny)))
        said = f"{np.count_nonzero(off)} of {len(off)}, at most {worst:.1e} of the stated errors"
        yield Difference(f"{where}/eigenvalues", said, worst > 1)


def _of_numbers(before: list[Any], after: list[Any], where: str) -> Iterator[Difference]:
    """None stands for what is not finite."""
    pairs = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    if any(None in pair for pair in pairs):
        yield Difference(where, "finite in one of them alone", True)
    elif pairs:
        apart = max(abs(one - other) / max(abs(one), abs(other)) for one, other in pairs)
        # A check's `worst` is a ratio of two roundings, tightness a logarithm that may be zero.
        loose = re.search(r"/(worst|lambda_min|median|decades)$", where) and apart * max(map(abs, after)) < 1
        yield Difference(where, f"{len(pairs)} apart by {apart:.1e} at most", apart > DIGITS and not loose)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(v is None or isinstance(v, float) for v in value)


def main() -> int:
    """Compare two files; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    asked = parser.parse_args()
    found = [*differences(to_json(read_report(asked.before)), to_json(read_report(asked.after)))]
    for difference in sorted(found, key=lambda difference: not difference.matters):
        print(f"{'MATTERS ' if difference.matters else ''}{difference.where}: {difference.what}")
    matter = sum(difference.matters for difference in found)
    print(f"{len(found)} differences in some digit, {matter} that matter")
    return 1 if matter else 0


if __name__ == "__main__":
    sys.exit(main())
