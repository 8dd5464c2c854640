"""Kill a process that writes a run file at a random moment, many times; nothing complete may be lost.

    python tests/hostile/kills.py --kills 100 --seed 1

Whatever stage it was in, what it left must open (or be refused in one line where no snapshot was complete).
Its complete snapshots must be what was to be written, the others must be named, and `resume=True` must finish
it. Every second kill is aimed at the few milliseconds in which a snapshot or the file is marked complete.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import cases
import numpy as np

from hostile import search
from ntkspec.errors import NtkspecError, RunFileError
from ntkspec.jacobian import Jacobian
from ntkspec.store import RunWriter, open_run

SAMPLES, PIECES, OUTPUTS = 240, 6, 2
STEPS = {"init": 0, "mid": 5, "end": 10}
INPUTS = np.random.default_rng(0).random((SAMPLES, 2))


def content(name: str) -> tuple[np.ndarray, Jacobian]:
    """Outputs and Jacobian of a snapshot, the same in every process."""
    rng = np.random.default_rng(STEPS[name])
    wide = cases.block(
        "wide", None, cases.dense(rng, SAMPLES, OUTPUTS, 800), SAMPLES, OUTPUTS, order=9
    )  # several chunks
    mixed = cases.mixed(SAMPLES, OUTPUTS, seed=STEPS[name])
    return rng.random((SAMPLES, OUTPUTS)), Jacobian((*mixed, wide))


def write(path: Path, *, resume: bool = False) -> Iterator[str]:
    """Write the run, a snapshot and a range of samples at a time; yields what is about to be done."""
    yield "create"
    with RunWriter(path, inputs=INPUTS, label="killed", resume=resume) as run:
        for name, step in STEPS.items():
            if name in run.complete_snapshots:
                continue
            yield "begin"
            outputs, jac = content(name)
            with run.snapshot(name, step=step, label=name, metrics={"loss": 0.5}) as snapshot:
                for start in range(0, SAMPLES, SAMPLES // PIECES):
                    stop = start + SAMPLES // PIECES
                    yield "write"
                    snapshot.write(start, outputs[start:stop], jac.load(start, stop), np.arange(start, stop))
                yield "seal"
            yield "picture"
            run.picture(name, np.full((40, 50, 3), step, np.uint8))
        yield "finish"
    yield "done"


def killed(path: Path, seconds: float, after: str = "", count: int = 1) -> list[str]:
    """Write in a child, kill it some time after it started, or after a stage; the stages that it reached."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for stage in write(path):
            os.write(writer, f"{stage} ".encode())
        os._exit(0)
    os.close(writer)
    said = b""
    while after and said.count(after.encode()) < count and (more := os.read(reader, 4096)):
        said += more
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reader, 4096):
        said += more
    os.close(reader)
    return said.decode().split() or ["start"]


def check(path: Path, complete: int) -> str:
    """Hold what is there against what was to be written, so many snapshots at least; how it was found."""
    part = path.with_name(path.name + ".part")
    left = path if path.exists() else part
    if not left.exists():
        return "no file"
    try:
        run = open_run(left)
    except RunFileError as error:
        if "\n" in str(error) or complete:
            raise
        return f"refused: {error.expected}, {error.got}"[:90]
    with run:
        assert len(run.snapshots) >= complete
        run.check_values()
        for snap in run.snapshots:
            outputs, jac = content(snap.id)
            assert np.array_equal(snap.outputs, outputs), snap.id
            assert np.array_equal(snap.jacobian.to_dense(), jac.to_dense()), snap.id
            assert np.array_equal(snap.regions, np.arange(SAMPLES)), snap.id
        unfinished = [name for name in run._file["snapshots"] if name not in {s.id for s in run.snapshots}]
        said = " ".join(run.warnings)
        assert all(name in said for name in unfinished), (said, unfinished)
        assert run.complete or (left == part and "interrupted" in said)
    if run.complete:
        return "finished" if left == path else "finished, not renamed"
    return f"{len(run.snapshots)} complete, {len(unfinished)} named"


def finish(path: Path) -> None:
    """Go on where it was killed; the outcome is that of a run that was not."""
    if not path.exists():
        try:
            for _ in write(path, resume=True):
                pass
        except NtkspecError:  # killed before there was anything to go on with: begin anew, as the error says
            for _ in write(path):
                pass
    assert check(path, len(STEPS)) == "finished"
    with open_run(path) as run:
        assert [snap.id for snap in run.snapshots] == list(STEPS)
        assert run.warnings == ()
    assert sorted(os.listdir(path.parent)) == [path.name], os.listdir(path.parent)


def kills(count: int, seed: int) -> dict[str, Any]:
    """Kill so many writers at moments spread over the time that one takes; returns the summary."""
    rng = np.random.default_rng(seed)
    stages: Counter[str] = Counter()
    found: Counter[str] = Counter()
    wrong = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        whole = time.monotonic()
        for _ in write(Path(folder) / "whole.h5"):
            pass
        whole = time.monotonic() - whole
        for number in range(count):
            place = Path(folder) / str(number)
            place.mkdir()
            if number % 2:
                target = ("seal", int(rng.integers(1, 4))) if rng.random() < 0.8 else ("finish", 1)
                reached = killed(place / "run.h5", float(rng.uniform(0, 0.03)), *target)
            else:
                reached = killed(place / "run.h5", float(rng.uniform(0, 1.1 * whole)))
            try:
                state = check(place / "run.h5", reached.count("picture"))
                finish(place / "run.h5")
            except Exception as error:
                state = "wrong"
                wrong.append(f"{number}, {reached[-1]}: {type(error).__name__} {error}")
            stages[reached[-1]] += 1
            found[state] += 1
            for path in place.iterdir():
                path.unlink()
    return {
        "kills": count,
        "wrong": wrong,
        "killed while": dict(stages.most_common()),
        "found": dict(found.most_common()),
        "one writer_s": round(whole, 2),
        "wall_s": round(time.monotonic() - started, 1),
    }


def main() -> int:
    """The command line; exit code 1 if anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the summary to this file, too")
    options = parser.parse_args()
    summary = kills(options.kills, options.seed)
    search.tell(summary, options.write)
    return int(bool(summary["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
