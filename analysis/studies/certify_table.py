"""The table "certify" of docs/method.md, from what `make certify` left in analysis/results/certify.json."""

from __future__ import annotations

import json
from pathlib import Path

from tables import markdown, put

RESULT = Path(__file__).parents[1] / "results" / "certify.json"


def main() -> None:
    """Read and write."""
    found = json.loads(RESULT.read_text(encoding="utf-8"))
    rows = [
        [
            kind.replace("_", " "),
            str(counts["cases"]),
            str(counts["violations"]),
            str(counts["proved positive"]),
            str(counts["median decades between the bounds"]),
        ]
        for kind, counts in found["kinds"].items()
    ]
    rows.append(["all", str(found["cases"]), str(len(found["violations"])), "", ""])
    head = ["kernels", "cases", "violations", "proved positive", "median decades between both bounds"]
    put("certify", markdown(head, rows))


if __name__ == "__main__":
    main()
