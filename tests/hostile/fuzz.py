"""Damage small run files in many ways and see that nothing but a clean refusal or a right answer comes of it.

    python tests/hostile/fuzz.py --files 20000 --seed 1

Each file goes through `validate` in a child process of its own that is timed and weighed. Of ten files two
have their spectra taken too, and one goes through `analyze` until its report is drawn. A finding's file is
kept, with its number: `--only NUMBER` with the same seed makes and examines it again.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent))

# Below, since tests/ has to be on the path first.
import bases  # noqa: E402
import h5py  # noqa: E402
import mutations  # noqa: E402
import numpy as np  # noqa: E402

import ntkspec.report.figures  # noqa: E402, F401 - once here, not in every child
from ntkspec import analyze, sandbox, validate  # noqa: E402
from ntkspec.commands.cli import run_command  # noqa: E402
from ntkspec.report.to_json import dumps  # noqa: E402
from ntkspec.store import Run  # noqa: E402

BUDGET_GIB = 0.25
SLACK = 0.25 * 2**30  # what libraries and figures take beside the budget
READ, SPECTRA, WHOLE = 0, 1, 2  # how far the second command goes
FINDINGS = ("crash", "hang", "traceback", "memory", "outside", "wrong number", "exit code", "stderr", "left")


@dataclass
class Outcome:
    """What became of one file."""

    number: int
    base: str
    mutation: str
    answer: str  # "refused", "accepted", ... of validate and analyze
    seconds: float
    peak: int = 0  # bytes above what the process had before
    findings: list[str] = field(default_factory=list)
    detail: str = ""


def answers(report: str) -> str:
    """What must not change: every eigenvalue and every name, bit for bit."""
    found = [
        {
            "label": run["label"],
            "snapshots": {
                snap["id"]: {
                    "step": snap["step"],
                    "label": snap["label"],
                    "spectra": {name: found["eigenvalues"] for name, found in snap["spectra"].items()},
                }
                for snap in run["snapshots"]
            },
            "warned": bool(run.get("warnings")),
        }
        for run in json.loads(report)["runs"]
    ]
    return json.dumps(found)


def contents(run: Run) -> str:
    """As `answers`, without eigenvalues, but with checksums of all numbers that they come from."""
    snapshots = {
        snap.id: {
            "step": snap.step,
            "label": snap.label,
            "blocks": [
                [block.name, block.role, *map(_crc, (block.left, block.right))] for block in snap.jacobian
            ],
        }
        for snap in run.snapshots
    }
    return json.dumps([{"label": run.label, "snapshots": snapshots, "warned": bool(run.warnings)}])


def _validate(path: str) -> tuple[int, str]:
    """Exit code, and the contents that were found valid."""
    said = []

    def check(run: Run, whole: Any = Run.check_values) -> None:
        whole(run)
        said.append(contents(run))

    with mock.patch.object(Run, "check_values", check):
        return validate.main([path, "--memory", str(BUDGET_GIB)]), "".join(said)


def _crc(factor: Any) -> list[int]:
    loaded = factor.load()
    arrays = (getattr(loaded, name, None) for name in ("indices", "values"))
    return [zlib.crc32(np.ascontiguousarray(array)) for array in arrays if array is not None]


def _analyse(path: str, depth: int) -> tuple[int, str]:
    """Exit code and answers: by the command line, figures and all, or without drawing."""
    if depth == WHOLE:
        code = analyze.main([path, "-o", "out", "--memory", str(BUDGET_GIB), "-q"])
        report = Path("out/report.json").read_text(encoding="utf-8") if code == 0 else ""
        return code, answers(report) if report else ""
    said = []

    def work() -> int:
        said.append(answers(dumps(analyze.analyze_runs([path], memory=BUDGET_GIB, trial=True))))
        return 0

    return run_command(work), "".join(said)


def _in_child(path: str, depth: int, pipe: int) -> None:
    """Validate and analyse; what came of it goes down the pipe as JSON."""
    os.setsid()
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    said: dict[str, Any] = {"codes": [], "errs": [], "report": "", "trace": ""}
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    try:
        for command in ("validate", "analyze")[: 1 if depth == READ else 2]:
            err = io.StringIO()
            with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
                run = _validate(path) if command == "validate" else _analyse(path, depth)
                code, said["report"] = run
            said["codes"].append(code)
            said["errs"].append(err.getvalue())
    except BaseException:
        said["trace"] = traceback.format_exc()
    with os.fdopen(pipe, "w") as stream:
        json.dump(said, stream)


def examine(outcome: Outcome, data: bytes, folder: Path, depth: int, limit: float) -> Any:
    """Run one file in a child and note every finding; returns the answers, where there were any."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / "input.h5").write_bytes(data)
    tree = _tree(folder)
    reader, writer = os.pipe()
    started = time.monotonic()
    before = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            os.close(reader)
            os.chdir(work)
            _in_child("input.h5", depth, writer)
            code = 0
        os._exit(code)
    os.close(writer)
    text, late = _read_until(reader, started + limit)
    os.close(reader)
    if late:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL if late else 0)
    _, status, usage = os.wait4(child, 0)
    outcome.seconds = time.monotonic() - started
    outcome.peak = max(usage.ru_maxrss * 1024 - before, 0)
    found = outcome.findings
    if late:
        found.append("hang")
    elif status:
        found.append("crash")
        outcome.detail = f"status {status}"
    if outcome.peak > BUDGET_GIB * 2**30 + SLACK:
        found.append("memory")
    if (work / "input.h5").read_bytes() != data:
        found.append("outside")
    said = json.loads(text) if text.endswith(b"}") else None
    return _judge(outcome, said, tree, folder, depth) if said else None


def _judge(outcome: Outcome, said: dict[str, Any], tree: set[str], folder: Path, depth: int) -> Any:
    found = outcome.findings
    if said["trace"]:
        found.append("traceback")
        outcome.detail = said["trace"]
        return None
    for code, err in zip(said["codes"], said["errs"], strict=True):
        lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
        if code not in (0, 2):
            found.append("exit code")
        if "Traceback" in err or len(lines) != (code == 2) or (lines and not lines[0].startswith("error: ")):
            found.append("stderr")
            outcome.detail = err
    outcome.answer = "/".join("accepted" if code == 0 else "refused" for code in said["codes"])
    out = "work/out"
    new = _tree(folder) - tree
    if any(path != out and not path.startswith(out + "/") for path in new):
        found.append("outside")
        outcome.detail = str(sorted(new)[:5])
    if new and (said["codes"][-1] != 0 or depth != WHOLE):
        found.append("left")
        outcome.detail = str(sorted(new)[:5])
    if not outcome.detail and said["errs"]:
        outcome.detail = said["errs"][0] or said["errs"][-1]
    return json.loads(said["report"]) if said["codes"][-1] == 0 and said["report"] else None


def _tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _read_until(reader: int, deadline: float) -> tuple[bytes, bool]:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    text = b""
    while poll.poll(max(deadline - time.monotonic(), 0) * 1000):
        more = os.read(reader, 2**20)
        if not more:
            return text, False
        text += more
    return text, True


def mutate(base: bases.Base, rng: np.random.Generator, folder: Path) -> tuple[str, bytes]:
    """A damaged copy and the name of what was done to it."""
    if rng.random() < 0.5:
        data = bytearray(base.data)
        change = mutations.BYTES[rng.integers(len(mutations.BYTES))]
        change(data, rng)
        return f"bytes: {change.__name__}", bytes(data)
    path = folder / "mutant.h5"
    for _ in range(20):
        path.write_bytes(base.data)
        chosen = mutations.STRUCTURAL[rng.integers(len(mutations.STRUCTURAL))]
        try:
            with h5py.File(path, "r+") as file:
                if rng.random() < 0.7:
                    mutations.unsign(file, rng)
                for _ in range(1 if rng.random() < 0.8 else 3):
                    chosen(file, rng)
        except Exception:  # not possible on this file, or not with this HDF5: try another
            continue
        return f"structure: {chosen.__name__}", path.read_bytes()
    return "structure: none", base.data


def expected(base: bases.Base, folder: Path, depth: int) -> Any:
    """The answers of the undamaged file."""
    outcome = Outcome(-1, base.name, "none", "", 0)
    found = examine(outcome, base.data, folder, depth, 60)
    if found is None or outcome.findings:
        raise RuntimeError(f"the undamaged file does not pass: {outcome}")
    return found


def is_wrong(found: Any, right: Any) -> bool:
    """Whether an accepted file of ours says anything else; a snapshot may be missing if that is warned of."""
    (mine,), (true,) = found, right
    same = all(true["snapshots"].get(name) == snap for name, snap in mine["snapshots"].items())
    missing = mine["snapshots"].keys() != true["snapshots"].keys()
    return mine["label"] != true["label"] or not same or (missing and not mine["warned"])


def work(seed: int, numbers: list[int], keep: str, limit: float, share: int) -> list[Outcome]:
    """Make and examine these files."""
    with tempfile.TemporaryDirectory() as scratch, sandbox.server():
        sandbox.start("ntkspec.store")  # before the children, which share it
        folder = Path(scratch)
        made = bases.make(folder / "bases")
        arena = folder / "arena"
        arena.mkdir()
        right: dict[tuple[str, int], Any] = {}
        outcomes = []
        for number in numbers:
            rng = np.random.default_rng([seed, number])
            base = made[rng.integers(len(made))] if rng.random() < 0.7 else made[0]
            mutation, data = mutate(base, rng, folder)
            outcome = Outcome(number, base.name, mutation, "", 0)
            depth = WHOLE if number % share == 0 else SPECTRA if number % share in (3, 6) else READ
            found = examine(outcome, data, arena, depth, limit)
            if found is not None and base.ours and mutation.startswith("bytes"):
                key = (base.name, min(depth, SPECTRA))
                if key not in right:
                    right[key] = expected(base, arena, key[1])
                wrong = is_wrong(found, right[key])
                outcome.answer += " wrong" if wrong else " as before"
                if wrong:
                    outcome.findings.append("wrong number")
            if outcome.findings:
                place = Path(keep)
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{seed}-{number}.h5").write_bytes(data)
                (place / f"{seed}-{number}.txt").write_text(repr(outcome))
            outcomes.append(outcome)
    return outcomes


REASONS = {
    "HDF5 hangs": "takes too long to read",
    "HDF5 crashes": "HDF5 library crashes",
    "digest does not fit": "attribute 'digest'",
    "checksum does not fit": "attribute 'crc32'",
    "HDF5 reports an error": "an HDF5 error",
    "HDF5 cannot open it": "damaged or locked",
    "more than the memory budget": "budget",
    "leads out of the file": "data inside this file",
    "not HDF5": "not HDF5",
    "numbers": "finite numbers",
    "claims too much": "claimed",
}


def reason(outcome: Outcome) -> str:
    """Why a file was refused, in a word."""
    found = (name for name, words in REASONS.items() if words in outcome.detail)
    return next(found, "the contract") if outcome.detail.startswith("error") else "not refused"


def summarise(outcomes: list[Outcome], keep: str, wall: float) -> dict[str, Any]:
    """Counts of what came of it, for people and for scripts."""
    counts = {name: sum(name in outcome.findings for outcome in outcomes) for name in FINDINGS}
    return {
        "files": len(outcomes),
        "findings": counts,
        "validate/analyze": dict(Counter(outcome.answer for outcome in outcomes).most_common()),
        "refused because": dict(Counter(map(reason, outcomes)).most_common()),
        "mutations": {
            name: dict(Counter(o.answer or "none" for o in outcomes if o.mutation == name))
            for name in sorted({outcome.mutation for outcome in outcomes})
        },
        "slowest_s": round(max(outcome.seconds for outcome in outcomes), 2),
        "peak_MiB": max(outcome.peak for outcome in outcomes) // 2**20,
        "wall_s": round(wall, 1),
        "kept_in": keep if any(outcome.findings for outcome in outcomes) else None,
    }


def fuzz(
    files: int, seed: int, processes: int, keep: str, limit: float, share: int, so_far: Path | None = None
) -> dict[str, Any]:
    """Examine so many files; returns the summary, which is also written to `so_far` from time to time."""
    started = time.monotonic()
    batch = min(500, -(-files // processes))
    parts = [list(range(start, min(start + batch, files))) for start in range(0, files, batch)]
    outcomes: list[Outcome] = []
    if processes == 1:
        outcomes = work(seed, list(range(files)), keep, limit, share)
    else:
        with ProcessPoolExecutor(processes) as pool:
            for done in pool.map(
                work, *zip(*((seed, part, keep, limit, share) for part in parts), strict=True)
            ):
                outcomes += done
                bad = sum(bool(outcome.findings) for outcome in outcomes)
                if so_far:
                    summary = summarise(outcomes, keep, time.monotonic() - started)
                    so_far.write_text(json.dumps(summary, indent=1))
                print(f"{len(outcomes)} of {files}, {bad} findings", file=sys.stderr, flush=True)
    return summarise(outcomes, keep, time.monotonic() - started)


def main() -> int:
    """The command line; exit code 1 if there was any finding."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10, help="wall limit for a file")
    parser.add_argument("--share", type=int, default=10, help="every so many-th file is drawn as a report")
    parser.add_argument("--keep", default="build/fuzz-findings", help="folder for files with findings")
    parser.add_argument("--so-far", type=Path, metavar="FILE", help="write the summary so far to this file")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the summary to this file, too")
    parser.add_argument("--only", type=int, help="examine this number alone, and print what came of it")
    options = parser.parse_args()
    if options.only is not None:
        outcome = work(options.seed, [options.only], options.keep, options.seconds, options.share)
        print(outcome)
        return int(bool(outcome[0].findings))
    summary = fuzz(
        options.files,
        options.seed,
        options.processes,
        options.keep,
        options.seconds,
        options.share,
        options.so_far,
    )
    print(json.dumps(summary, indent=1))
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return int(any(summary["findings"].values()))


if __name__ == "__main__":
    sys.exit(main())
