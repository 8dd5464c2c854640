"""What the searches (`make certify`, `make fuzz` and others) left in analysis/results, as tables of docs/.

Run: `python analysis/studies/hostile_tables.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tables import METHOD, markdown, put

RESULTS = Path(__file__).parents[1] / "results"
HOSTILE = METHOD.with_name("hostile.md")


def read(name: str) -> dict[str, Any]:
    """A result by its name."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def certified() -> str:
    """Certified bounds against exact arithmetic, by kind of kernel."""
    found = read("certify")
    rows = [
        [
            kind.replace("_", " "),
            str(counts["cases"]),
            str(counts["violations"]),
            str(counts["proved positive"]),
            str(counts["median decades between the bounds"] or "-"),
        ]
        for kind, counts in found["kinds"].items()
    ]
    rows.append(["all", str(found["cases"]), str(len(found["violations"])), "", ""])
    head = ["kernels", "cases", "violations", "proved positive", "median decades between both bounds"]
    return markdown(head, rows)


def spectra() -> str:
    """Stated errors, floors and ranks against exact arithmetic, by kind of spectrum."""
    found = read("spectra")
    names = ("cases", "spectra", "eigenvalues", "resolved", "refused")
    wrong = {kind: sum(f", {kind}, " in text for text in found["violations"]) for kind in found["kinds"]}
    rows = [
        [kind.replace("_", " "), *(str(counts[name]) for name in names), str(wrong[kind])]
        for kind, counts in found["kinds"].items()
    ]
    rows.append(["all", *(str(found[name]) for name in names), str(len(found["violations"]))])
    return markdown(["structure", *names, "violated"], rows)


def networks() -> str:
    """Reports of exported networks against exact arithmetic."""
    found = read("networks")
    counts = {name: count for name, count in found.items() if isinstance(count, int) and name != "seconds"}
    return counted("small networks", counts | {"contradictions": len(found["violations"])})


def counted(title: str, counts: dict[str, int]) -> str:
    """Names and counts, as they come."""
    return markdown([title, "count"], [[name, str(count)] for name, count in counts.items()])


def main() -> None:
    """Write all tables."""
    put("certify", certified())
    put("spectra", spectra(), HOSTILE)
    put("networks", networks(), HOSTILE)
    fuzz, kills = read("fuzz"), read("kills")
    put("fuzz", counted(f"findings in {fuzz['files']} files", fuzz["findings"]), HOSTILE)
    put("refusals", counted("refused because", fuzz["refused because"]), HOSTILE)
    found = {"lost or wrong": len(kills["wrong"]), **kills["found"]}
    put("kills", counted(f"found after {kills['kills']} kills", found), HOSTILE)
    put("moments", counted("killed while", kills["killed while"]), HOSTILE)


if __name__ == "__main__":
    main()
