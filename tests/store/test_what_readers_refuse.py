"""What readers would refuse, writers refuse first: in one line, and what was good stays."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import cases
import numpy as np
import pytest

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, DenseFactor, Jacobian, PairsFactor, Parameter, SparseFactor
from ntkspec.store import RunWriter, open_run

N, C = 6, 2
RNG = np.random.default_rng(0)
X, Y = RNG.random((N, 3)), RNG.random((N, C))
LEFT, RIGHT = RNG.random((N, 1, 4)), RNG.random((N, C, 3))
NODES, VALUES = np.array([[0, 3]] * N), RNG.random((N, C, 2))
ENTRIES = SparseFactor(NODES, VALUES, 7)
ZEROS = np.zeros(N, np.int64)


def block(right=None, left=None, name="w", parameters=None, **fields):
    right = DenseFactor(RIGHT) if right is None and left is None else right
    right = DenseFactor(right) if isinstance(right, np.ndarray) else right
    made = Block(name, "network", N, C, left, right)
    parameters = (Parameter("p", (made.width,)),) if parameters is None else parameters
    return replace(made, parameters=parameters, **fields)


def of(*args, **fields):
    return Jacobian((block(*args, **fields),))


def shaped(*shape, name="p"):
    return of(parameters=(Parameter(name, shape),))


def pairs(t):
    return of(PairsFactor(RNG.random((N, 1, t, 4)), RNG.random((N, C, t, 5))))


def sparse(**changes):
    return of(replace(ENTRIES, **changes), parameters=(Parameter("p", (7,)),))


def with_nan():
    values = RIGHT.copy()
    values[2, 1, 0] = np.nan
    return values


WRONG = {  # name -> (arguments of SnapshotWriter.write, what the message says)
    "too many parameters": ((Y, shaped(4)), "add up to a*b = 1*3 = 3, got 4; list every parameter"),
    "a size that is a float": ((Y, shaped(3.0)), "'shape': [3.0]}; a size: store it as an integer"),
    "sizes below zero": ((Y, shaped(-1, -3)), 'a list of {"name": text, "shape": [sizes]}, got'),
    "a parameter without a name": ((Y, shaped(3, name=None)), "got {'name': None"),
    "a shape that is an array": ((Y, of(parameters=(Parameter("p", np.ones(1)),))), "that JSON can hold"),
    "NaN": ((Y, of(with_nan())), "blocks/w/right: expected finite numbers, got nan at [2, 1, 0]"),
    "no width": ((Y, of(RIGHT[..., :0])), "expected shape (6, 2, 1 or more), got (6, 2, 0)"),
    "an index too large": ((Y, sparse(columns=3, indices=NODES)), "add up to a*b = 1*3 = 3, got 7"),
    "an index beyond": ((Y, sparse(indices=NODES + 4)), "indices from 0 to 6, or -1 for padding, got 7"),
    "an index below -1": ((Y, sparse(indices=NODES - 2)), "indices from 0 to 6, or -1 for padding, got -2"),
    "no entries": ((Y, sparse(indices=NODES[:, :0], values=VALUES[..., :0])), "shape (6, 1 or more)"),
    "pairs of no use": ((Y, pairs(0)), "right/left: expected shape (6, 1 or more, 1 or more), got (6, 0, 4)"),
    "no Jacobian": ((Y, 3), "snapshot: expected a Jacobian, such as run['end'].jacobian, got 3"),
    "an array": ((Y, RIGHT), "snapshot: expected a Jacobian, such as run"),
    "arrays": ((Y, {"w": RIGHT}), "snapshot: expected a Jacobian, such as run"),
    "a block": ((Y, block()), "snapshot: expected a Jacobian, such as run['end'].jacobian, got Block('w'"),
    "an order that is a half": ((Y, of(order=0.5)), "block w, order: expected a whole number"),
    "an order that is none": ((Y, of(order=None)), "block w, order: expected a whole number"),
    "an order that is true": ((Y, of(order=True)), "block w, order: expected a whole number"),
    "no name": ((Y, of(name="")), "name of a block: expected a name without '/', and not '', '.' or '..'"),
    "a dot for a name": ((Y, of(name=".")), "name of a block: expected a name without '/'"),
    "names that are one": ((Y, Jacobian((block(name="a/b"), block(name="a|b")))), "got a/b, a|b; rename"),
    "fewer outputs": ((Y[:, :1], of()), "outputs of a snapshot: expected shape (6, 2), as the Jacobian has"),
    "fewer outputs than ones": ((Y[:, :1], of(left=DenseFactor(LEFT))), "expected shape (6, 2), as the"),
    "regions that are floats": ((Y, of(), ZEROS + 0.5), "regions: expected an array of integers"),
    "a region for all": ((Y, of(), ZEROS[:1]), "regions: expected an array (6,), got shape (1,)"),
    "regions in two axes": ((Y, of(), ZEROS[:, None]), "regions: expected an array (6,), got shape (6, 1)"),
    "a word for certain": ((Y, of(), ZEROS, "yes"), "attribute 'ntkspec_certain': expected true or false"),
}  # fmt: skip


def write(snapshot, outputs, jacobian, regions=None, certain=False):
    snapshot.write(0, outputs, jacobian, regions, certain=certain)


@pytest.mark.parametrize("name", WRONG)
def test_a_refused_snapshot_costs_nothing_else(name, tmp_path):
    """The snapshots before it and after it stay, and a mended one may be written in its place."""
    wrong, words = WRONG[name]
    with RunWriter(tmp_path / "run.h5", inputs=X) as run:
        with run.snapshot("before", step=0, label="") as snapshot:
            write(snapshot, Y, of())
        with pytest.raises(UsageError, match=re.escape(words)) as caught:
            with run.snapshot("wrong", step=1, label="") as snapshot:
                write(snapshot, *wrong)
        with run.snapshot("mended", step=2, label="") as snapshot:
            with pytest.raises(UsageError, match=re.escape(words)):
                write(snapshot, *wrong)
            write(snapshot, Y, cases.mixed(N), ZEROS)
    assert "\n" not in str(caught.value)
    with open_run(tmp_path / "run.h5") as run:
        run.check_values()
        assert [snap.id for snap in run] == ["before", "mended"]
        assert np.array_equal(run["mended"].jacobian.to_dense(), cases.mixed(N).to_dense())


HALVES = slice(0, 3), slice(3, 6)
BOTH = Jacobian((block(name="a"), block(name="b", left=DenseFactor(LEFT), right=RIGHT[..., :1])))
HALF = Jacobian((BOTH["a"], block(name="b", left=DenseFactor(LEFT))))
SINGLE = of(RIGHT.astype(np.float32))
WIDER = of(RIGHT * 1e300)
SHORT = sparse(indices=NODES.astype(np.int32))
OTHERWISE = {  # name -> (Jacobian and regions of the first call, those of the second, what the message says)
    "a block is missing": ((BOTH,), (Jacobian(BOTH.blocks[:1]),), "b/left: expected an array, as before"),
    "a block is new": ((Jacobian(BOTH.blocks[:1]),), (BOTH,), "b/left: expected nothing there, as before"),
    "a factor is missing": ((BOTH,), (HALF,), "b/right: expected an array, as before, got none"),
    "no regions": ((of(), ZEROS), (of(),), "regions: expected an array, as before, got none"),
    "regions": ((of(),), (of(), ZEROS), "regions: expected nothing there, as before, got an array"),
    "a narrower factor": ((of(),), (of(RIGHT[..., :1]),), "expected float64 of shape (3, 2, 3)"),
    "another kind": ((of(),), (of(ENTRIES),), "right/indices: expected nothing there, as before"),
    "more digits": ((SINGLE,), (WIDER,), "expected float32 of shape (3, 2, 3), got float64"),
    "longer indices": ((SHORT,), (sparse(),), "expected int32 of shape (3, 2), got int64 of shape (3, 2)"),
    "more columns": ((sparse(),), (sparse(columns=9, indices=NODES + 5),), "expected indices from 0 to 6"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERWISE)
def test_later_samples_have_the_blocks_of_the_first(name, tmp_path):
    """Others would be broadcast, rounded or left out. The right ones may be given after them."""
    first, second, words = OTHERWISE[name]

    def half(part, jacobian, regions=None):
        regions = None if regions is None else regions[part]
        snapshot.write(part.start, Y[part], jacobian.load(part.start, part.stop), regions)

    with RunWriter(tmp_path / "run.h5", inputs=X) as run, run.snapshot("s", step=0, label="") as snapshot:
        half(HALVES[0], *first)
        with pytest.raises(UsageError, match=re.escape(words)):
            half(HALVES[1], *second)
        half(HALVES[1], *first)
    with open_run(tmp_path / "run.h5") as run:
        run.check_values()
        assert np.array_equal(run["s"].jacobian.to_dense(), first[0].to_dense())


@pytest.mark.parametrize("kind", ["float16", "int8", "longdouble", ">f4", ">f8", "list"])
def test_samples_and_outputs_are_converted_as_factors_are(kind, tmp_path):
    """Factors were, and what stands beside them in the file was refused."""
    numbers = np.arange(2.0 * N).reshape(N, 2)
    given = numbers.tolist() if kind == "list" else numbers.astype(kind)
    of_given = Jacobian((cases.block("b", None, DenseFactor(np.reshape(given, (N, 2, 1))), N, 2),))
    with RunWriter(tmp_path / "run.h5", inputs=given, targets=given) as run:
        with run.snapshot("s", step=0, label="") as snapshot:
            snapshot.write(0, given, of_given)
    with open_run(tmp_path / "run.h5") as run:
        run.check_values()
        for found in (run.inputs, run.targets, run["s"].outputs, run["s"].jacobian.to_dense()[..., 0]):
            assert np.array_equal(found, numbers)


def test_numbers_that_lose_nothing_are_taken(tmp_path):
    """Single among double precision, whole numbers of NumPy or as floats, regions of 32 bits, a list."""
    jacobian = of(parameters=(Parameter("p", (np.int64(3),)),), order=2.0)
    options = {"inputs": X, "indices": [*range(N)]}
    with RunWriter(tmp_path / "run.h5", **options) as run, run.snapshot("s", step=0, label="") as snapshot:
        snapshot.write(0, Y[:3], jacobian.load(0, 3), np.arange(3, dtype=np.int32))
        snapshot.write(3, Y[3:].astype(np.float32), SINGLE.load(3, 6), np.arange(3, dtype=np.int32))
    with open_run(tmp_path / "run.h5") as run:
        run.check_values()
        (found,) = run["s"].blocks
        assert (found.order, found.parameters) == (2, (Parameter("p", (3,)),))
        assert np.array_equal(found.to_dense()[3:], RIGHT[3:].astype(np.float32))


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ({"inputs": X[:, :0]}, "inputs: expected an array (n, width), one row a sample, got shape (6, 0)"),
        ({"targets": Y[:, :0]}, "targets: expected an array (6, width), one row a sample, got shape (6, 0)"),
        ({"inputs": None}, "inputs: expected an array of numbers, got None"),
        ({"inputs": [[0.0], [0.0, 1.0]]}, "inputs: expected what numpy.asarray takes, got a list"),
        ({"targets": Y + 1j}, "targets: expected an array of real numbers, got complex128"),
        ({"indices": ZEROS + 0.5}, "indices: expected an array of integers, got float64"),
        ({"indices": ZEROS[:, None]}, "indices: expected an array (6,), got shape (6, 1)"),
        ({"indices": np.full(N, 2**64 - 1, np.uint64)}, "indices: expected an array of integers, got uint64"),
        ({"indices": np.ma.masked_greater(ZEROS + 4, 3)}, "indices: expected numbers without a mask"),
        ({"config": [1]}, "config: expected a mapping that JSON can hold"),
    ],
)
def test_samples_are_refused_before_anything_is_replaced(samples, words, tmp_path):
    with pytest.raises(ZeroDivisionError), RunWriter(tmp_path / "run.h5", inputs=X) as run:
        with run.snapshot("s", step=0, label="") as snapshot:
            write(snapshot, Y, of())
        raise ZeroDivisionError
    with pytest.raises(UsageError, match=re.escape(words)):
        RunWriter(tmp_path / "run.h5", **{"inputs": X, "overwrite": True} | samples)
    with open_run(tmp_path / "run.h5.part") as run:
        assert [snap.id for snap in run] == ["s"]


def test_a_config_too_deep_for_json(tmp_path):
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(
        UsageError, match="config: expected a mapping that JSON can hold, got maximum recursion"
    ):
        RunWriter(tmp_path / "run.h5", inputs=X, config={"deep": deep})


def test_targets_have_the_outputs_of_all_snapshots(tmp_path):
    words = "outputs of a snapshot: expected 3 columns, as the targets have, got 2; give targets"
    with pytest.raises(UsageError, match=words), RunWriter(tmp_path / "run.h5", inputs=X, targets=X) as run:
        with run.snapshot("s", step=0, label="") as snapshot:
            write(snapshot, Y, of())
    assert os.listdir(tmp_path) == []


def test_a_file_without_a_snapshot_replaces_none(tmp_path):
    path = tmp_path / "run.h5"
    ntkspec.write_run(path, X, Y, {"w": RIGHT})
    before = path.read_bytes()
    words = "run.h5: expected at least one complete snapshot, got none; write one"
    with pytest.raises(UsageError, match=words), RunWriter(path, inputs=X, overwrite=True):
        pass
    assert os.listdir(tmp_path) == ["run.h5"]
    run = RunWriter(path, inputs=X, overwrite=True)
    with pytest.raises(UsageError, match=words):
        run.finish()
    assert path.read_bytes() == before
    with run.snapshot("s", step=0, label="") as snapshot:
        write(snapshot, Y, of())
    run.finish()
    with open_run(path) as read:
        assert [snap.id for snap in read] == ["s"]


@pytest.mark.parametrize("name", ["a/b", "", ".", ".."])
def test_names_under_which_a_picture_would_be_lost(name, tmp_path):
    with RunWriter(tmp_path / "run.h5", inputs=X) as run:
        with run.snapshot("s", step=0, label="") as snapshot:
            write(snapshot, Y, of())
        with pytest.raises(UsageError, match="name of a picture: expected a name without '/'"):
            run.picture(name, np.zeros((4, 4), np.uint8))
        for pixels in (np.ma.masked_equal(np.eye(4, dtype=np.uint8), 1), [[0], [0, 1]], None):
            with pytest.raises(UsageError, match="picture 'truth': expected"):
                run.picture("truth", pixels)
        large = np.broadcast_to(np.uint8(0), (2**14, 2**14 + 1))
        with pytest.raises(UsageError, match=r"'truth': expected uint8 .* of at most 268435456 bytes"):
            run.picture("truth", large)
