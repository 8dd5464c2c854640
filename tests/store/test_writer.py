"""Writing: what goes in comes out, a piece at a time; what fails leaves nothing half-written."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import resource
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import replace
from typing import Any

import cases
import h5py
import numpy as np
import pytest
import runs
from hypothesis import example, given, settings
from hypothesis import strategies as st

import ntkspec
from ntkspec.errors import NtkspecError, OutputError, RunFileError, UsageError
from ntkspec.jacobian import Block, Jacobian
from ntkspec.store import RunWriter, disk, open_run, writer
from ntkspec.store.stored import Stored

INPUTS = np.linspace(0, 1, 24).reshape(12, 2)


def put(run: RunWriter, id: str, **options: Any) -> None:
    """Write a snapshot."""
    with run.snapshot(id, **options) as snapshot:
        snapshot.write(0, INPUTS, cases.mixed(12))


def same(a: Jacobian, b: Jacobian) -> bool:
    return a.names == b.names and np.array_equal(a.to_dense(), b.to_dense()) and a.roles == b.roles


@given(cuts=st.sets(st.integers(1, 11)), dtype=st.sampled_from([np.float32, np.float64]))
@example(cuts=set(), dtype=np.float64)
@example(cuts=set(range(1, 12)), dtype=np.float32)
@settings(max_examples=15)  # each writes every kind of block, which takes a while
def test_round_trip_in_any_pieces(tmp_path_factory, cuts, dtype):
    made = cases.blocks(12, 2, dtype=dtype)
    jac = Jacobian(tuple(made.values()))
    path = tmp_path_factory.mktemp("run") / "run.h5"
    edges = [0, *sorted(cuts), 12]
    with RunWriter(path, inputs=INPUTS, indices=np.arange(12), label="x", config={"a": [1]}) as run:
        with run.snapshot("s", step=5, label="end", metrics={"loss": 0.5}) as snapshot:
            for start, stop in itertools.pairwise(edges):
                snapshot.write(start, INPUTS[start:stop], jac.load(start, stop))
    with open_run(path) as run:
        run.check_values()
        snap = run.snapshot("end")
        assert same(snap.jacobian.load(), jac)
        assert snap.jacobian.dtype == dtype
        assert (snap.step, snap.metrics, run.config, run.label) == (5, {"loss": 0.5}, {"a": [1]}, "x")
        assert np.array_equal(run.inputs, INPUTS)
        assert np.array_equal(run.indices, np.arange(12))
        assert np.array_equal(snap.outputs, INPUTS)
        assert run.targets is None


def test_chunks_run_along_rows_and_are_about_two_mebibytes(tmp_path):
    n = 4000
    jac = Jacobian((cases.block("wide", None, cases.dense(np.random.default_rng(0), n, 2, 200), n, 2),))
    path = tmp_path / "run.h5"
    with RunWriter(path, inputs=np.ones((n, 2))) as run, run.snapshot("s", step=0, label="") as snapshot:
        snapshot.write(0, np.ones((n, 2)), jac)
    with h5py.File(path) as file:
        data = file["snapshots/s/blocks/wide/right"]
        assert data.chunks[1:] == data.shape[1:]
        assert 2**20 <= np.prod(data.chunks) * 8 <= 2**22
        assert data.id.get_storage_size() < 1.01 * data.nbytes  # the last chunk takes as much as the others


def test_pictures_travel_with_the_run(tmp_path):
    truth = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    path = tmp_path / "run.h5"
    with RunWriter(path, inputs=INPUTS) as run:
        run.picture("truth", truth)
        run.picture("s", truth[..., 0])
        put(run, "s", step=0, label="")
        with pytest.raises(UsageError, match="uint8"):
            run.picture("bad", truth.astype(float))
    with open_run(path) as run:
        assert np.array_equal(run.pictures["truth"], truth)
        assert run.pictures["s"].shape == (4, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": np.zeros((0, 2))}, r"got shape \(0, 2\)"),
        ({"inputs": np.zeros((5, 2, 2))}, r"got shape \(5, 2, 2\)"),
        ({"inputs": np.zeros((5, 2), complex)}, "real numbers"),
        ({"inputs": np.full((5, 2), np.nan)}, "finite numbers, got nan"),
        ({"inputs": np.zeros((5, 2)), "targets": np.zeros((4, 1))}, r"an array \(5, width\)"),
        ({"inputs": np.zeros((5, 2)), "config": {"x": object()}}, "JSON"),
        ({"inputs": np.zeros((5, 2)), "config": {"x": float("nan")}}, "JSON"),
    ],
)
def test_bad_samples_are_refused_and_leave_no_file(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        RunWriter(tmp_path / "run.h5", **options)
    assert not (tmp_path / "run.h5").exists()


def test_an_error_in_a_snapshot_keeps_the_complete_ones_in_the_part_file(tmp_path):
    path = tmp_path / "run.h5"
    with pytest.raises(ZeroDivisionError), RunWriter(path, inputs=INPUTS) as run:
        put(run, "good", step=0, label="init")
        with run.snapshot("bad", step=1, label="end") as snapshot:
            snapshot.write(0, INPUTS[:5], cases.mixed(12).load(0, 5))
            raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["run.h5.part"]
    with open_run(tmp_path / "run.h5.part") as run:
        assert [snap.id for snap in run.snapshots] == ["good"]
        assert "interrupted" in run.warnings[0]
    with RunWriter(path, inputs=INPUTS, resume=True) as run:
        assert run.complete_snapshots == ("good",)
        put(run, "bad", step=1, label="end")
    with open_run(path) as run:
        assert [snap.id for snap in run.snapshots] == ["good", "bad"]
        assert run.warnings == ()
        assert same(run.snapshot("good").jacobian.load(), run.snapshot("bad").jacobian.load())
    assert os.listdir(tmp_path) == ["run.h5"]


def test_what_is_left_of_a_snapshot_does_not_spoil_the_file(tmp_path):
    """As where neither its first attribute nor its removal could be written."""
    path = tmp_path / "run.h5"
    with RunWriter(path, inputs=INPUTS) as run:
        with run.snapshot("good", step=0, label="init") as snapshot:
            snapshot.write(0, INPUTS, cases.mixed(12))
        run._file["snapshots"].create_group("left")
    with open_run(path) as run:
        assert [snap.id for snap in run.snapshots] == ["good"]
        assert run.warnings == ()


def test_nothing_stays_when_no_snapshot_was_complete(tmp_path):
    with pytest.raises(ZeroDivisionError), RunWriter(tmp_path / "run.h5", inputs=INPUTS):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("change", ["samples", "not hdf5"])
def test_resuming_something_else_is_refused(tmp_path, change):
    path = tmp_path / "run.h5"
    if change == "not hdf5":
        (tmp_path / "run.h5.part").write_text("hello")
    else:
        with pytest.raises(ZeroDivisionError), RunWriter(path, inputs=INPUTS + 1) as run:
            put(run, "s", step=0, label="")
            raise ZeroDivisionError
    with pytest.raises(UsageError, match=r"resume|the inputs, targets and indices of this run"):
        RunWriter(path, inputs=INPUTS, resume=True)
    assert (tmp_path / "run.h5.part").exists()


def test_samples_out_of_order_or_missing_are_refused(tmp_path):
    jac = cases.mixed(12)
    for rows in ((5, 12), (0, 5)):
        with pytest.raises(UsageError, match="expected"), RunWriter(tmp_path / "r.h5", inputs=INPUTS) as run:
            with run.snapshot("s", step=0, label="") as snapshot:
                snapshot.write(rows[0], INPUTS[slice(*rows)], jac.load(*rows))
    assert os.listdir(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path):
    existing = runs.write_run(tmp_path / "old.h5")
    before = existing.read_bytes()
    for path in (existing, tmp_path, tmp_path / "no" / "run.h5"):
        with pytest.raises(OutputError, match="expected"):
            RunWriter(path, inputs=INPUTS)
    assert existing.read_bytes() == before


SCRIPT = """
import sys; sys.path.insert(0, {tests!r})
import cases, numpy as np
from ntkspec.store import RunWriter
inputs = np.linspace(0, 1, 24).reshape(12, 2)
with RunWriter({path!r}, inputs=inputs, overwrite=True) as run:
    for step in range(200):
        with run.snapshot(f"s{{step}}", step=step, label="x") as snapshot:
            snapshot.write(0, inputs, cases.mixed(12))
        print(step, flush=True)
"""


def test_a_full_disk_is_said_in_one_line_and_keeps_the_old_file(tmp_path):
    path = runs.write_run(tmp_path / "run.h5")
    before = path.read_bytes()
    limited = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40000, {resource.RLIM_INFINITY}))\n"
    )
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    body = SCRIPT.format(path=str(path), tests=os.path.dirname(runs.__file__))
    wrapped = (
        "from ntkspec.commands.cli import run_command\ndef work():\n"
        + textwrap.indent(body, "    ")
        + "\nraise SystemExit(run_command(work))"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited + ignore + wrapped], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "expected to write the file" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == before


def test_errors_have_three_parts():
    with pytest.raises(NtkspecError) as caught:
        open_run("/nowhere/run.h5")
    assert (caught.value.expected, caught.value.got) == ("a run file", "no such file")
    assert str(caught.value).count("\n") == 0


def test_two_writers_of_one_file(tmp_path):
    """The second is told to wait, and the first finishes what it began."""
    path = tmp_path / "run.h5"
    with RunWriter(path, inputs=INPUTS) as first:
        second = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(path=str(path), tests=os.path.dirname(runs.__file__))],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "a file that no other writer or reader has open, got one that is open" in second.stderr
        put(first, "s", step=0, label="end")
    with open_run(path) as run:
        run.check_values()
        assert same(run.snapshot("s").jacobian.load(), cases.mixed(12))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_forked_meanwhile_does_not_keep_the_lock(tmp_path):
    """As those of a DataLoader do, which may live on."""
    path, (reader, child_waits) = tmp_path / "run.h5", os.pipe()
    with RunWriter(path, inputs=INPUTS) as run:
        child = os.fork()
        if not child:
            os.close(child_waits)
            os.read(reader, 1)  # until the parent has closed its end
            os._exit(0)
        put(run, "s", step=0, label="end")
    try:
        with open_run(path) as run:
            run.check_values()
        assert not disk.is_locked(path)
    finally:
        os.close(child_waits)
        os.waitpid(child, 0)


def test_what_another_writer_has_finished_meanwhile_is_kept(tmp_path, monkeypatch):
    """Two trainings of one name that began together: the later one replaced the file of the other."""

    def finishes(*_, **__):
        (tmp_path / "run.h5").write_text("of the other")

    monkeypatch.setattr(writer, "check_unfinished", finishes)
    with pytest.raises(OutputError, match="a name that is free, got one that exists"):
        RunWriter(tmp_path / "run.h5", inputs=INPUTS)
    assert (tmp_path / "run.h5").read_text() == "of the other"
    assert os.listdir(tmp_path) == ["run.h5"]


def test_what_cannot_be_resumed_says_why(tmp_path):
    """Not every file beside which snapshots may be lost is one "with nothing to resume"."""
    path, part = tmp_path / "run.h5", tmp_path / "run.h5.part"
    path.write_text("no run file")
    with pytest.raises(OutputError, match="a name that is free, got one that exists"):
        RunWriter(path, inputs=INPUTS, resume=True)
    with (
        RunWriter(tmp_path / "other.h5", inputs=INPUTS) as run,
        run.snapshot("s", step=0, label="end") as snap,
    ):
        snap.write(0, INPUTS, cases.mixed(12))
    os.replace(tmp_path / "other.h5", part)
    with pytest.raises(
        OutputError, match=r"and the unfinished run\.h5\.part beside it; resume=True with overwrite"
    ):
        RunWriter(path, inputs=INPUTS, resume=True)
    with RunWriter(path, inputs=INPUTS, resume=True, overwrite=True) as run:
        assert run.complete_snapshots == ("s",)
        with pytest.raises(
            OutputError, match="that no other writer or reader has open, got one that is open"
        ):
            RunWriter(path, inputs=INPUTS, resume=True, overwrite=True)
    with pytest.raises(OutputError, match="one that is finished, with nothing to resume"):
        RunWriter(path, inputs=INPUTS, resume=True)


@pytest.mark.parametrize(
    "value", ["x", True, np.True_, None, [1], 10**400, 1j, np.inf, np.ones(1), np.ma.masked]
)
def test_metrics_that_no_reader_takes_cost_nothing_else(tmp_path, value):
    """They are refused before anything is written of their snapshot."""
    path = tmp_path / "run.h5"
    with RunWriter(path, inputs=INPUTS) as run:
        for id in ("a", "b", "c"):
            metrics = {
                "loss": np.array(0.5, np.float32),
                "count": 10**20,
                "bad": value if id == "b" else np.int8(1),
            }
            refused = pytest.raises(UsageError, match="metrics: expected finite numbers only, got 'bad'")
            with refused if id == "b" else contextlib.nullcontext():
                put(run, id, step=0, label=id, metrics=metrics)
    with open_run(path) as run:
        run.check_values()
        assert [snap.label for snap in run] == ["a", "c"]
        assert run["a"].metrics == {"loss": 0.5, "count": 1e20, "bad": 1.0}


@pytest.mark.parametrize("path", ["", "a\0.h5"])
def test_what_is_no_path_is_said(path):
    for use in (open_run, lambda path: RunWriter(path, inputs=INPUTS), ntkspec.analyze_runs):
        with pytest.raises(UsageError, match="path: expected the path of a file, got '"):
            use(path)
    with pytest.raises(OutputError, match="expected a file name, got a folder"):
        RunWriter(".", inputs=INPUTS)


def test_names_that_are_too_long_and_links_that_lead_nowhere(tmp_path):
    long, loop = tmp_path / ("a" * 300), tmp_path / "loop.h5"
    loop.symlink_to(loop)
    for use in (open_run, ntkspec.analyze_runs):
        for path in (long, loop):
            with pytest.raises(RunFileError, match="expected a run file, got no such file"):
                use(path)
    for resume in (False, True):
        with pytest.raises(OutputError, match="File name too long"):
            RunWriter(long, inputs=INPUTS, resume=resume)


def test_finishing_again_once_there_is_room(tmp_path, monkeypatch):
    """The end is begun only if there is room for all of it, and whichever step failed is done again."""
    path = tmp_path / "run.h5"

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for fails in ("reserve", "wait_for_disk"):
        run = RunWriter(path, inputs=INPUTS, overwrite=True)
        put(run, "s", step=0, label="end")
        with monkeypatch.context() as full:
            full.setattr(writer, fails, no_space)
            with pytest.raises(OutputError, match="No space left"):
                run.finish()
        run.finish()
        with open_run(path) as read:
            read.check_values()
            assert read.complete


def test_what_a_killed_writer_left_is_replaced(tmp_path):
    (tmp_path / "run.h5.part").write_bytes(b"\x89HDF\r\n\x1a\n damaged")
    runs.write_run(tmp_path / "run.h5")
    assert os.listdir(tmp_path) == ["run.h5"]


def test_complete_snapshots_that_a_killed_writer_left_are_not_replaced(tmp_path):
    part = shutil.copy(runs.write_run(tmp_path / "run.h5"), tmp_path / "killed.h5.part")
    before = part.read_bytes()
    with pytest.raises(
        OutputError,
        match=r"killed.h5.part: .* got one with 2 complete snapshots; .*resume=True, replace it by over",
    ):
        RunWriter(tmp_path / "killed.h5", inputs=INPUTS)
    assert part.read_bytes() == before
    runs.write_run(tmp_path / "killed.h5", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["killed.h5", "run.h5"]


def test_a_file_that_was_continued_gets_its_name_back(tmp_path):
    path = tmp_path / "run.h5"
    first = RunWriter(path, inputs=INPUTS)
    put(first, "first", step=0, label="init")
    first.finish(interrupted=True)
    with pytest.raises(ZeroDivisionError), RunWriter(path, inputs=INPUTS, resume=True) as run:
        assert os.listdir(tmp_path) == ["run.h5.part"]
        put(run, "second", step=1, label="mid")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["run.h5"]
    with open_run(path) as run:
        run.check_values()
        assert [snap.id for snap in run.snapshots] == ["first", "second"]
        assert "interrupted" in run.warnings[0]


def test_numpy_numbers_in_a_config_and_none_left_behind_by_a_bad_one(tmp_path):
    runs.write_run(
        tmp_path / "run.h5", config={"lr": np.float32(0.5), "n": np.int64(3), "l": np.longdouble(2)}
    )
    with open_run(tmp_path / "run.h5") as run:
        assert run.config == {"lr": 0.5, "n": 3, "l": 2.0}
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for bad in (object(), deep):
        with pytest.raises(UsageError, match="JSON"):
            RunWriter(tmp_path / "bad.h5", inputs=INPUTS, config={"x": bad})
    assert os.listdir(tmp_path) == ["run.h5"]


def test_a_block_of_ones_alone_is_no_block_of_a_file(tmp_path):
    """Which would be one without a factor."""
    from ntkspec.jacobian import Ones

    jac = Jacobian((Block("b", "network", 3, 1, Ones(3, 1), Ones(3, 1)),))
    with pytest.raises(UsageError, match="blocks/b: expected a factor left, right or both, got neither"):
        with RunWriter(tmp_path / "run.h5", inputs=np.zeros((3, 2))) as run:
            with run.snapshot("end", step=0, label="end") as snapshot:
                snapshot.write(0, np.zeros((3, 1)), jac)
    assert not (tmp_path / "run.h5").exists()


def keeping(left, folder):
    """A flush of a file after which a copy of it is added to `left`, as a kill would leave it."""
    flush = h5py.File.flush

    def kept(file):
        flush(file)
        left.append(shutil.copy(folder / "run.h5.part", folder / f"{len(left)}.h5"))

    return kept


def test_a_snapshot_that_is_relabelled_is_complete_at_every_moment(tmp_path, monkeypatch):
    left = []

    def interrupt(*_):
        raise KeyboardInterrupt

    with RunWriter(tmp_path / "run.h5", inputs=INPUTS) as run:
        put(run, "s", step=0, label="init")
        with monkeypatch.context() as patch:
            patch.setattr(h5py.File, "flush", keeping(left, tmp_path))
            run.relabel("s", "best", {"loss": 0.5})
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("ntkspec.store.digest.snapshot_digest", interrupt)
            run.relabel("s", "end", {})
    found = []
    for path in [*left, tmp_path / "run.h5"]:
        with open_run(path) as run:
            run.check_values()
            found.append((run["s"].label, dict(run["s"].metrics)))
    assert found == [("init", {}), ("best", {"loss": 0.5}), ("best", {"loss": 0.5}), ("end", {})]


def test_a_snapshot_that_is_merged_is_complete_at_every_moment(tmp_path, monkeypatch):
    left = []

    def write(id, step, outputs=INPUTS, jacobian=None):
        with run.snapshot(id, step=step, label=id, metrics={id: step}) as snapshot:
            snapshot.write(0, outputs, cases.mixed(12) if jacobian is None else jacobian)

    with RunWriter(tmp_path / "run.h5", inputs=INPUTS) as run:
        write("other step", 0)
        write("other outputs", 1, INPUTS + 1e-12)
        write("other blocks", 1, jacobian=cases.mixed(12).without(cases.mixed(12).names[0]))
        write("a", 1)
        assert run.merge("a") is None
        write("b", 1)
        with monkeypatch.context() as patch:
            patch.setattr(h5py.File, "flush", keeping(left, tmp_path))
            assert run.merge("b") == "a"
        assert run.complete_snapshots == ("other step", "a", "other blocks", "other outputs")
    for path in [*left, tmp_path / "run.h5"]:
        with open_run(path) as run:
            run.check_values()
            assert same(run["b"].jacobian.load(), cases.mixed(12))
    with open_run(left[-1]) as run:
        assert [snap.id for snap in run] == ["other step", "a", "other blocks", "other outputs"]
    with open_run(tmp_path / "run.h5") as run:
        assert (run["b"].id, dict(run["b"].metrics)) == ("a", {"a": 1, "b": 1})


def test_a_snapshot_costs_the_same_however_many_there_are(tmp_path, monkeypatch):
    """Each one read all earlier ones several times: more than a second after three thousand."""
    real, reads, costs = h5py.AttributeManager.__getitem__, [], []
    monkeypatch.setattr(
        h5py.AttributeManager, "__getitem__", lambda attrs, name: reads.append(name) or real(attrs, name)
    )
    with RunWriter(tmp_path / "run.h5", inputs=INPUTS) as run:
        for step in range(4):
            reads.clear()
            put(run, f"{step}", step=step, label="")
            run.relabel(f"{step}", "best", {})
            assert run.merge(f"{step}") is None
            assert run.complete_snapshots == tuple("0123"[: step + 1])
            costs.append(len(reads))
    assert len({*costs}) == 1


def test_factors_in_a_file_are_read_to_be_checked_and_to_be_written(tmp_path, monkeypatch):
    """All of them were read once more for their shapes; of one row, these are the same."""
    jac, rows, read = cases.mixed(12), Counter(), Stored._read
    with RunWriter(tmp_path / "a.h5", inputs=INPUTS) as run, run.snapshot("s", step=0, label="") as snapshot:
        snapshot.write(0, INPUTS, jac)

    def counted(stored, start, stop):
        values = read(stored, start, stop)
        rows[stored.where] += len(values)
        return values

    with open_run(tmp_path / "a.h5") as first, RunWriter(tmp_path / "b.h5", inputs=INPUTS) as run:
        monkeypatch.setattr(Stored, "_read", counted)
        with run.snapshot("s", step=0, label="") as snapshot:
            snapshot.write(0, INPUTS, first["s"].jacobian)
    assert {*rows.values()} == {1 + 12 + 12}
    with open_run(tmp_path / "b.h5") as run:
        run.check_values()
        assert same(run["s"].jacobian.load(), jac)


@pytest.mark.parametrize("id", ["x", "begun", 3, None])
def test_a_snapshot_that_is_not_there_is_said(id, tmp_path):
    """A `KeyError` of h5py came."""
    with RunWriter(tmp_path / "run.h5", inputs=INPUTS) as run:
        put(run, "end", step=0, label="")
        with contextlib.suppress(ZeroDivisionError), run.snapshot("begun", step=1, label=""):
            for call in (run.merge, run.read, lambda id: run.relabel(id, "best", {})):
                with pytest.raises(
                    UsageError, match=r"snapshot: expected the id of a complete one \(end\), got "
                ):
                    call(id)
            raise ZeroDivisionError


def test_a_file_that_was_finished_is_said_to_be(tmp_path):
    with RunWriter(tmp_path / "run.h5", inputs=INPUTS) as run:
        put(run, "end", step=0, label="")
    calls = (
        lambda: run.snapshot("late", step=1, label="").__enter__(),
        lambda: run.merge("end"),
        lambda: run.picture("truth", np.zeros((4, 4), np.uint8)),
        lambda: run.complete_snapshots,
    )
    for call in calls:
        with pytest.raises(
            UsageError, match=r"run\.h5: expected a run file that is being written, got one that"
        ):
            call()


def test_a_block_that_names_no_parameters_can_be_read(tmp_path):
    """The file was finished, and refused by every reader."""
    blocks = tuple(replace(block, parameters=()) for block in cases.mixed(5))
    with RunWriter(tmp_path / "run.h5", inputs=np.zeros((5, 2))) as run:
        with run.snapshot("end", step=0, label="end") as snapshot:
            snapshot.write(0, np.zeros((5, 2)), Jacobian(blocks))
    with open_run(tmp_path / "run.h5") as run:
        stored = run["end"].jacobian
        assert np.array_equal(ntkspec.gram(stored), ntkspec.gram(Jacobian(blocks)))
        assert [block.parameters[0].name for block in stored] == [block.name for block in blocks]
