"""What `make bench-full` left in analysis/benchmarks/results, as tables of docs/benchmarks.md.

Run: `python analysis/studies/benchmark_tables.py`. A benchmark without a result keeps the table it has.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tables import METHOD, markdown, put

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
PAGE = METHOD.with_name("benchmarks.md")
NAMES = ("gram", "eigen", "export", "analyze", "growth")
# Per benchmark: the list of derived numbers, the number in it, and the column's title.
EXTRA = {
    "gram": (("bounds", "ratio", "time / flop bound"), ("memory", "ratio", "memory / (kernel + factors)")),
    "eigen": (("memory", "kernels", "kernels of memory beyond the kernel"),),
    "export": (("bytes", "dense_over_run_file", "dense Jacobian / run file, bytes"),),
    "analyze": (("memory", "peak_over_kernel", "peak / kernel, bytes"),),
    "growth": (("memory", "ratio", "memory / (kernel + factors)"),),
}


def table(result: dict[str, Any]) -> str:
    """One row a contender: time, its ratio to ours, peak memory, error, and what the benchmark adds."""
    extra = EXTRA[result["benchmark"]]
    head = ["network, n, precision", "contender", "median s", "calls", "times ours", "peak GiB", "error"]
    head += [title for _, _, title in extra]
    rows = [_row(row, result, extra) for row in result["rows"]]
    used = [column for column in range(len(head)) if any(row[column] for row in rows)]
    return markdown([head[column] for column in used], [[row[column] for column in used] for row in rows])


def machine(result: dict[str, Any]) -> str:
    """Where and with what it was measured."""
    load = result["load_average"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    peers = "".join(
        f"; {peer}: " + ", ".join(f"{name} {version}" for name, version in installed.items())
        for peer, installed in result["peers"].items()
    )
    changed = ", with uncommitted changes" if result["uncommitted_changes"] else ""
    return (
        f"{result['created'][:10]}, commit {str(result['commit'])[:10]}{changed}; "
        f"{result['machine']['cpu']}, "
        f"{result['machine']['cores']} cores, {result['machine']['memory_bytes'] / 2**30:.0f} GiB, "
        f"{result['threads']} threads; load {load['start'][0]:.1f} at the start, {load['end'][0]:.1f} at the "
        f"end. {result['system']}; {versions}{peers}."
    )


def notes(result: dict[str, Any]) -> str:
    """Peak rates, exponents, ranks, routes, and contenders that did not finish, a line each."""
    lines = [
        f"- Peak rate, {peak['contender']} {peak['samples']}, {peak['dtype']}: {peak['gigaflops']:.1f} GF/s."
        for peak in result.get("peaks", [])
    ]
    lines += [
        f"- {entry['network']}: time grows as n^{entry['exponent']:.2f} from n = {entry['from_samples']} on."
        for entry in result.get("exponents", [])
    ]
    lines += [
        f"- {row['network']}, n = {row['samples']}: {row['numerical_rank']} eigenvalues > n eps lambda_max."
        for row in result["rows"]
        if "numerical_rank" in row
    ]
    lines += [
        f"- {row['network']}, n = {row['samples']}, {row['contender']}: {row['method']}, {row['reason']}."
        for row in result["rows"]
        if "method" in row
    ]
    lines += [
        f"- {row['network']}, n = {row['samples']}, {row['dtype']}, {row['contender']}: {row['status']}"
        for row in result["rows"]
        if row["status"] != "ok"
    ]
    return "\n".join(lines)


def main() -> None:
    """Write what there are results for."""
    for name in NAMES:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            print(f"no {path.name}: its table stays as it is")
            continue
        result = json.loads(path.read_text(encoding="utf-8"))
        parts = [table(result), notes(result), f"*{machine(result)}*"]
        put(name, "\n\n".join(part for part in parts if part), PAGE)


def _row(row: dict[str, Any], result: dict[str, Any], extra: tuple[tuple[str, str, str], ...]) -> list[str]:
    name = [f"{row['network']}, {row['samples']}, {row['dtype']}", row["contender"]]
    if row["status"] != "ok":
        return [*name, row["status"].partition(":")[0], *[""] * (4 + len(extra))]
    error = f"{row['error']:.0e}" if "error" in row else ""
    found = [f"{row['median_s']:.3g}", str(row["calls"]), _ratio(row, result)]
    found += [f"{row['peak_bytes'] / 2**30:.2f}", error]
    return [*name, *found, *(_number(row, result[title], key) for title, key, _ in extra)]


def _ratio(row: dict[str, Any], result: dict[str, Any]) -> str:
    """Its time over that of ntkspec's, where both were measured."""
    found = [
        f"{r['median']:.3g}" for r in result["ratios"] if _same(r, row) and r["other"] == row["contender"]
    ]
    return ", ".join(found)


def _number(row: dict[str, Any], entries: list[dict[str, Any]], key: str) -> str:
    found = [
        f"{e[key]:.3g}" for e in entries if _same(e, row) and e["contender"] == row["contender"] and key in e
    ]
    return ", ".join(found)


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(a[key] == b[key] for key in ("network", "samples", "dtype"))


if __name__ == "__main__":
    main()
