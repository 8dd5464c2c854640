"""Is the GPU backend right on this device, and what do kernels, eigenvalues and reports cost on it?

    python analysis/benchmarks/bench_gpu.py            # under five minutes; to analysis/benchmarks/quick
    python analysis/benchmarks/bench_gpu.py --write    # to results, and tables into docs/benchmarks.md
    python analysis/benchmarks/bench_gpu.py --quick    # small sizes: whether it runs

Checks come first (gpu_checks.py), then measurements (gpu_measures.py), the largest last. The JSON is written
after each, so that a run that is killed leaves what it had; `analysis/studies/gpu_tables.py` makes tables of
it. A measurement is not begun, but listed, where those of smaller kernels say that it would pass the limit.
Exit codes: 0 done, 1 a check does not hold or something failed that no lack of memory explains, 2 there is no
device.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkspec import NtkspecError, __version__
from ntkspec.backend import select
from ntkspec.errors import BackendError
from ntkspec.population.made_by import made_by
from ntkspec.spectral.solvers import SOLVERS

if TYPE_CHECKING:
    from gpu_device import Device

HERE = Path(__file__).parent
GROUPS = ("checks", "gram", "eigenvalues", "routes", "analyze", "peers")
CUBIC = ("eigenvalues", "analyze")  # groups whose seconds grow as n^3
Row = dict[str, Any]
COMMIT = "NTKSPEC_COMMIT"  # the variable that names the commit where there is no .git


@dataclass(frozen=True)
class Sizes:
    """Rows of everything."""

    known: tuple[int, ...] = (512, 2048, 8192)  # powers of two
    kernel: int = 2048
    bits: int = 4096
    product: int = 8192
    gram: tuple[int, ...] = (8192, 32_768, 65_536)
    multigrid: int = 32_768  # up to which multigrid's kernel is formed
    # 65,600 beside 65,536: does it cost time that rows lie a power of two apart in memory?
    eigenvalues: tuple[int, ...] = (4096, 8192, 16_384, 32_768, 65_536, 65_600, 102_400)
    single: int = 16_384
    routes: int = 4096
    analyze: tuple[int, ...] = (8192, 16_384)
    peers: int = 2048


QUICK = Sizes(
    known=(512,), kernel=512, bits=512, product=1024, gram=(1024,), eigenvalues=(512, 1024), single=512,
    routes=512, analyze=(512,), peers=512,
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """Something to measure, which says a row at a time."""

    group: str
    what: str
    rows: Callable[[], Iterator[Row]]
    n: int = 0

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.group}, {self.what}" + (f", n = {self.n}" if self.n else "")


@dataclass
class Results:
    """What was measured so far; every change is written at once."""

    head: dict[str, Any]
    target: Path
    limit: float  # seconds
    begun: float = field(default_factory=time.perf_counter)
    groups: dict[str, list[Row]] = field(default_factory=dict)
    not_done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    finished: bool = False  # False in the file of a run that was killed

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self.begun

    def rows(self, group: str) -> list[Row]:
        """What there is of a group."""
        return self.groups.get(group, [])

    def add(self, group: str, row: Row) -> None:
        """Keep a row, and print it."""
        self.groups.setdefault(group, []).append(row)
        print(line(group, row), flush=True)
        self.write()

    def leave_out(self, step: Step, why: str, *, failed: bool = False) -> None:
        """Keep that there is no result, and why."""
        said = f"{step.name}: {why}"
        (self.failed if failed else self.not_done).append(said)
        print(f"{'FAILED' if failed else 'not done'}: {said}", flush=True)
        self.write()

    def expected(self, step: Step) -> float:
        """Return how long it will take at the least, by what the same took of fewer rows."""
        same = [row for row in self.rows(step.group) if row["what"] == step.what and row["n"] < step.n]
        if step.group not in CUBIC or not same:
            return 0.0
        last = max(same, key=lambda row: row["n"])
        return float(last["seconds"] * (step.n / last["n"]) ** 3)

    def write(self) -> None:
        """Put everything into the file; whoever reads it meanwhile finds the old one or the new one."""
        lists = {"not_done": self.not_done, "failed": self.failed}
        about = {"finished": self.finished, "seconds": self.seconds}
        result = {"benchmark": "gpu", **self.head, **about, **self.groups, **lists}
        self.target.parent.mkdir(parents=True, exist_ok=True)
        part = self.target.with_name(self.target.name + ".part")
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        os.replace(part, self.target)


def line(group: str, row: Row) -> str:
    """For people: PASS or FAIL first of a check, then all that the row says."""
    verdict = {True: "PASS ", False: "FAIL "}.get(row.get("passed", ""), "")
    said = ", ".join(f"{key} {_short(value)}" for key, value in row.items() if key not in ("what", "passed"))
    return f"{verdict}{group}: {row['what']}, {said}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_short(each)}" for key, each in value.items()) + ")"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def steps(device: Device, sizes: Sizes, results: Results, folder: Path) -> Iterator[Step]:
    """Yield what is to be done: checks, then kernels and eigenvalues from small to large, then all else.

    Args:
        device: what is measured.
        sizes: of everything.
        results: where some steps find what others measured.
        folder: for run files.
    """
    # Not at the top: a machine without a device need not have PyTorch.
    import gpu_checks as checks
    import gpu_measures as measures

    def gram(network: str, n: int) -> Step:
        def rows() -> Iterator[Row]:
            found = {row["what"]: row["rate"] for row in results.rows("rates")}
            return measures.grams(device, network, n, found["matrix product"], found["copy"])

        return Step("gram", network, rows, n)

    def eigenvalues(name: str, n: int) -> Step:
        return Step("eigenvalues", name, partial(measures.eigenvalues, device, name, n), n)

    for n in sizes.known:
        yield Step("checks", "eigenvalues", partial(checks.eigenvalues, device, n), n)
    for network in ("mlp256", "multigrid"):
        yield Step("checks", f"kernel of {network}", partial(checks.grams, device, network, sizes.kernel))
    yield Step("checks", "same bits", partial(checks.bits, device, sizes.bits))
    yield Step("checks", "contract suite", checks.contracts)
    yield Step("rates", "of the device", partial(measures.rates, device, sizes.product))
    for n in sizes.gram:
        yield gram("mlp256", n)
        if n <= sizes.multigrid:
            yield gram("multigrid", n)
    fitting = dict.fromkeys(min(n, device.largest()) for n in sizes.eigenvalues)
    large = [n for n in fitting if n >= device.once]
    for n in (n for n in fitting if n < device.once):
        yield eigenvalues(measures.OURS, n)
        yield eigenvalues(measures.CUPY, n)
        yield eigenvalues(measures.TORCH, n)
    yield Step("eigenvalues", "float32", partial(measures.single_precision, device, sizes.single))
    for n in large:
        yield eigenvalues(measures.OURS, n)
    for n in large[:1]:
        yield eigenvalues(measures.CUPY, n)
    yield Step("peers", "mlp256", partial(measures.peers, device, sizes.peers))
    analyses = partial(measures.analyses, device, folder=folder)
    for n in sizes.analyze:
        yield Step("analyze", measures.UP_TO_BOUNDS, partial(analyses, n, whole=False), n)
    for n in sizes.analyze:
        yield Step("analyze", measures.WHOLE, partial(analyses, n), n)
    for name in SOLVERS:
        for part in ("total", "no_grid"):
            run = partial(measures.route, device, name, part, sizes.routes)
            yield Step("routes", f"{name} of {part}", run, sizes.routes)


def measure(device: Device, sizes: Sizes, results: Results, only: tuple[str, ...] = GROUPS) -> None:
    """Do what is to be done of these groups, as far as time allows."""
    import gpu_checks as checks

    wanted = {*only, *(["rates"] if "gram" in only else [])}
    with tempfile.TemporaryDirectory() as folder:
        for step in steps(device, sizes, results, Path(folder)):
            if step.group not in wanted:
                continue
            if results.seconds + results.expected(step) > results.limit:
                results.leave_out(step, f"no time, {results.seconds:.0f} s of {results.limit:g} are over")
                continue
            try:
                for row in step.rows():
                    results.add(step.group, row)
                    if step.group == "eigenvalues" and step.n >= device.once:
                        for check in checks.sums(row):
                            results.add("checks", check)
            except (NtkspecError, MemoryError) as error:
                results.leave_out(step, _said(error), failed=step.group == "checks")
            except Exception as error:  # the others go on: a device is lent for minutes
                results.leave_out(step, f"{type(error).__name__}: {_said(error)}", failed=True)
            device.free()


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def head(engine: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Device, machine, versions and commit."""
    runtime = engine.xp.cuda.runtime
    about = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **made_by()}
    about["threads"] = len(os.sched_getaffinity(0))
    cuda = {"cuda runtime": runtime.runtimeGetVersion(), "cuda driver": runtime.driverGetVersion()}
    about["versions"] = about["versions"] | {"ntkspec": __version__, "cupy": engine.xp.__version__} | cuda
    if options.commit or about["commit"] is None:  # a copy, of which nobody knows what was changed
        about |= {"commit": options.commit, "uncommitted_changes": None}
    properties = runtime.getDeviceProperties(engine.xp.cuda.Device().id)
    device = {"name": properties["name"].decode(), "memory_bytes": int(runtime.memGetInfo()[1])}
    return {"device": device, **about, "quick": options.quick, "limit": options.limit}


def main() -> None:
    """Check, measure, print, and keep the results."""
    options = _options()
    try:
        engine = select("gpu")
    except BackendError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    from gpu_device import Device

    sizes = QUICK if options.quick else Sizes()
    if options.sizes:
        sizes = replace(sizes, gram=tuple(options.sizes), eigenvalues=tuple(options.sizes), analyze=())
    results = Results(head(engine, options), options.output, options.limit)
    print(f"{results.head['device']['name']}, {results.head['versions']}", flush=True)
    measure(Device(engine), sizes, results, tuple(options.only))
    results.finished = True
    results.write()
    broken = [row for row in results.rows("checks") if not row["passed"]]
    print(
        f"{len(results.rows('checks'))} checks, {len(broken)} do not hold; {len(results.failed)} failed, ",
        end="",
    )
    print(f"{len(results.not_done)} not done; {results.seconds:.0f} s; wrote {results.target}")
    if options.write:
        sys.path.append(str(HERE.parent / "studies"))
        import gpu_tables

        gpu_tables.put_tables(results.target)
    sys.exit(1 if broken or results.failed else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="small sizes")
    add("--sizes", type=int, nargs="+", help="rows of kernels and of eigenvalues; no whole analyses")
    add("--only", nargs="+", choices=GROUPS, default=GROUPS, help="(default: all)")
    add(
        "--limit", type=float, default=280, help="seconds after which nothing is begun (default: %(default)s)"
    )
    add(
        "--commit",
        default=os.environ.get(COMMIT),
        help=f"of which this is a copy (default: ${COMMIT}, or git's)",
    )
    add("--write", action="store_true", help="keep the results, and put the tables into docs/benchmarks.md")
    add("-o", "--output", type=Path, help="JSON file (default: gpu.json in quick, with --write in results)")
    options = parser.parse_args()
    options.output = options.output or HERE / ("results" if options.write else "quick") / "gpu.json"
    return options


if __name__ == "__main__":
    main()
