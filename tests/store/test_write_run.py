"""`write_run`: what other writers have as arrays is read back as it was, or refused in a line."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections import namedtuple

import cases
import h5py
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import ntkspec
from ntkspec.errors import NtkspecError, OutputError, UsageError
from ntkspec.jacobian import Block, DenseFactor, Jacobian, PairsFactor, Parameter, SparseFactor
from ntkspec.validate import main as validate

N, C = 6, 2
RNG = np.random.default_rng(0)
X, Y, W = RNG.random((N, 3)), RNG.random((N, C)), RNG.random((N, C, 3, 4))
LEFT, RIGHT = RNG.random((N, 5)), RNG.random((N, C, 3))
NODES = SparseFactor(np.array([[0, 3, -1]] * N), RNG.random((N, 1, 3)), 7)
SPARSE = SparseFactor(np.array([[0, 3]] * N), RNG.random((N, C, 2)), 7)
PAIRS = PairsFactor(RNG.random((N, 1, 3, 4)), RNG.random((N, C, 3, 5)))


def read(path):
    """The one snapshot, in memory, of a file that is valid to the last number."""
    assert validate([str(path), "-q"]) == 0
    with ntkspec.open_run(path) as run:
        (snap,) = run.snapshots
        return snap.jacobian.load()


def written(tmp_path, blocks, outputs=Y, **options):
    ntkspec.write_run(tmp_path / "run.h5", X, outputs, blocks, **options)
    return read(tmp_path / "run.h5")


# -- what is written


def test_everything_is_read_back(tmp_path):
    path = tmp_path / "my run.h5"
    options = {"targets": Y[:, 0:2], "step": 7, "label": "größer/1", "indices": np.arange(N, dtype=np.uint8)}
    options |= {"metrics": {"psnr_db": np.float32(31)}, "config": {"lr": 0.1}, "roles": {"enc": "grid"}}
    ntkspec.write_run(path, X, Y, {"enc": {"table": W}, "encoder": RIGHT}, **options)
    assert validate([str(path)]) == 0
    with ntkspec.open_run(path) as run:
        assert (run.label, run.config, run.complete, run.warnings) == ("my run", {"lr": 0.1}, True, ())
        assert np.array_equal(run.inputs, X)
        assert np.array_equal(run.targets, Y)
        assert run.indices.tolist() == list(range(N))
        snap = run.snapshot("größer/1")
        assert (snap.id, snap.step, snap.metrics) == ("größer|1", 7, {"psnr_db": 31.0})
        assert np.array_equal(snap.outputs, Y)
        first, second = snap.jacobian.blocks
        assert (first.name, first.role, first.order) == ("enc.table", "grid", 0)
        assert (second.name, second.role, second.order) == ("encoder", "network", 1)
        assert first.parameters == (Parameter("enc.table", (3, 4)),)
        assert np.array_equal(first.to_dense(), W.reshape(N, C, 12))
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_tree_of_parameters(tmp_path):
    """As JAX has them: dicts and lists, integers among the keys, Haiku's slashes, a scalar."""
    tree = {"mlp/~/linear": {"w": W, "b": RIGHT}, "layers": [RIGHT, {0: W}], "scale": Y}
    jac = written(tmp_path, tree, roles={"mlp": "first", "layers": "second", "layers.1": "third"})
    assert jac.names == ("mlp|~|linear.w", "mlp|~|linear.b", "layers.0", "layers.1.0", "scale")
    assert [block.role for block in jac] == ["first", "first", "second", "third", "network"]
    assert jac["mlp|~|linear.w"].parameters[0].name == "mlp/~/linear.w"
    assert jac["scale"].parameters == (Parameter("scale", ()),)
    assert np.array_equal(jac["scale"].to_dense()[..., 0], Y)


@pytest.mark.parametrize(
    ("leaf", "widths"),
    [
        ((LEFT, RIGHT), (5, 3)),
        ((DenseFactor(LEFT[:, None]), DenseFactor(RIGHT)), (5, 3)),
        ((NODES, RIGHT), (7, 3)),
        ((SparseFactor(NODES.indices, NODES.values[:, 0], 7), DenseFactor(RIGHT)), (7, 3)),
        ((DenseFactor(LEFT), RIGHT), (5, 3)),
        ((NODES, SPARSE), (7, 7)),
        ((None, RIGHT), (1, 3)),
        ((LEFT, None), (5, 1)),
        (SPARSE, (1, 7)),
        (DenseFactor(RIGHT), (1, 3)),
        (PAIRS, (1, 20)),
        ((None, PAIRS), (1, 20)),
        ((LEFT, PAIRS), (5, 20)),
        (Block("other", "grid", N, C, NODES, DenseFactor(RIGHT), 9, (Parameter("table", (7, 3)),)), (7, 3)),
    ],
)
def test_factors(leaf, widths, tmp_path):
    jac = written(tmp_path, {"a": leaf})
    assert jac["a"].widths == widths
    if isinstance(leaf, Block):
        assert (jac["a"].role, jac["a"].parameters) == (leaf.role, leaf.parameters)
        expected = leaf.to_dense()
    else:
        left, right = leaf if isinstance(leaf, tuple) else (None, leaf)
        ones = np.ones((N, C, 1))
        left = ones[:, :1] if left is None else dense(left)
        expected = np.einsum("na,nob->noab", left[:, 0], ones if right is None else dense(right))
    assert np.array_equal(jac["a"].to_dense(), expected.reshape(N, C, -1))


def dense(factor):
    if isinstance(factor, np.ndarray):
        return factor if factor.ndim == 3 else factor[:, None]
    return factor.to_dense()


def test_a_function_with_one_number(tmp_path):
    """Outputs (n,): no array has an axis of outputs."""
    jac = written(
        tmp_path,
        {"w": W[:, 0], "b": Y[:, 0], "pair": (LEFT, RIGHT[:, 0]), "s": SparseFactor([[1]] * N, Y[:, :1], 3)},
        Y[:, 1],
        targets=Y[:, 0],
    )
    assert (jac.outputs, [block.width for block in jac]) == (1, [12, 1, 15, 3])
    assert np.array_equal(jac["w"].to_dense()[:, 0], W[:, 0].reshape(N, 12))
    assert np.array_equal(jac["s"].to_dense()[:, 0, 1], Y[:, 0])


def test_a_jacobian_of_the_package(tmp_path):
    """Blocks, orders and regions are what they were; one that lies in a file is read."""
    jac = Jacobian(cases.mixed(N).blocks, np.arange(N) // 2, True)
    first = written(tmp_path, jac, np.zeros((N, jac.outputs)))
    with ntkspec.open_run(tmp_path / "run.h5") as run:
        stored = run.snapshots[0].jacobian
        ntkspec.write_run(tmp_path / "again.h5", X, run.snapshots[0].outputs, stored, roles={"layer": "mlp"})
    for found in (first, read(tmp_path / "again.h5")):
        assert (found.names, [b.order for b in found]) == (jac.names, [b.order for b in jac])
        assert np.array_equal(found.to_dense(), jac.to_dense())
        assert found.regions.tolist() == [0, 0, 1, 1, 2, 2]
        assert found.regions_certain
    assert "mlp" in found.roles


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [(">f4", "f4"), (">f8", "f8"), ("f2", "f4"), ("i2", "f8"), ("?", "f8"), ("longdouble", "f8")],
)
def test_precisions(dtype, stored, tmp_path):
    values = (RIGHT * 9).astype(dtype)
    found = written(tmp_path, {"a": values})["a"].right.values
    assert found.dtype == np.dtype(stored)
    assert np.array_equal(found, values.astype(stored))


FINITE = {"allow_nan": False, "allow_infinity": False}


@st.composite
def problems(draw):
    """Inputs, outputs, a tree of blocks and the Jacobian (n, c, p) that it means."""
    n, c = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    dtype = draw(st.sampled_from([np.float32, np.float64]))

    def numbers(*shape):
        elements = st.floats(-1e6, 1e6, width=8 * np.dtype(dtype).itemsize, **FINITE)
        values = draw(arrays(dtype, shape, elements=elements))
        return np.where(abs(values) < 1e-20, dtype(0), values)  # a kernel has fourth powers of them

    tree, parts = {}, []
    for name in draw(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3, unique=True)):
        if draw(st.booleans()):
            shape = draw(st.lists(st.integers(1, 3), max_size=3))
            tree[name] = numbers(n, c, *shape)
            parts.append(tree[name].reshape(n, c, -1))
        else:
            left, right = numbers(n, draw(st.integers(1, 3))), numbers(n, c, draw(st.integers(1, 3)))
            tree[name] = (left, right)
            product = np.einsum("na,nob->noab", left.astype(np.float64), right.astype(np.float64))
            parts.append(product.reshape(n, c, -1))
    return numbers(n, 2), numbers(n, c), tree, np.concatenate(parts, axis=2)


@settings(max_examples=20)
@given(problems())
def test_round_trip(tmp_path_factory, problem):
    x, y, tree, expected = problem
    path = tmp_path_factory.mktemp("trip") / "run.h5"
    names = {name.replace("/", "|") for name in tree}
    if names & {".", ".."} or any("\0" in name for name in names) or len(names) < len(tree):
        with pytest.raises(UsageError, match="name"):
            ntkspec.write_run(path, x, y, tree)
        assert not list(path.parent.iterdir())
        return
    ntkspec.write_run(path, x, y, tree, targets=y)
    with ntkspec.open_run(path) as run:
        run.check_values()
        snap = run.snapshots[0]
        assert run.inputs.dtype == x.dtype
        for found, meant in ((run.inputs, x), (run.targets, y), (snap.outputs, y)):
            assert np.array_equal(found, meant)
        assert np.array_equal(snap.jacobian.to_dense(), expected)
        assert np.allclose(ntkspec.gram(snap.jacobian), oracles.kernel(snap.jacobian, "trace"))


def test_numbers_in_names_count_as_numbers(tmp_path):
    """Blocks of one order come by name; what int() would not read, such as a superscript, is text."""
    names = ["x" + digits for digits in ("", "2", "010", "10" * 4_000, "a1b", "a10", "²", "٣")]
    blocks = (Block(name, "network", N, C, None, DenseFactor(RIGHT), 0, ()) for name in reversed(names))
    assert list(written(tmp_path, Jacobian(tuple(blocks))).names) == names


def test_neither_torch_nor_jax_is_needed(tmp_path):
    code = (
        "import sys\nsys.modules['torch'] = sys.modules['jax'] = None\nimport ntkspec\n"
        f"ntkspec.write_run({str(tmp_path / 'x.h5')!r}, [[1.0], [2]], [1.0, 2], {{'w': [[1.0], [2.0]]}})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert read(tmp_path / "x.h5").to_dense().ravel().tolist() == [1, 2]


# -- what is refused

WRONG = {
    "inputs with three axes": ({"inputs": W}, "inputs: expected an array (n, width)"),
    "no samples": ({"inputs": X[:0]}, "one row a sample, got shape (0, 3)"),
    "targets of one output": (
        {"targets": X[:, 0]},
        "expected an array (6, 2), one row a sample, got shape (6,)",
    ),
    "fewer outputs": ({"outputs": Y[:5]}, "outputs: expected an array (6, width)"),
    "outputs that are one number": ({"outputs": 3.0}, "got shape ()"),
    "other targets": ({"targets": Y[:, :1]}, "targets: expected an array (6, 2), one row a sample, got"),
    "indices of another length": ({"indices": [1, 2]}, "indices: expected an array (6,), got shape (2,)"),
    "indices that are floats": ({"indices": np.arange(6.0)}, "an array of integers, got float64"),
    "no blocks": ({"blocks": {}}, "got an empty one; e.g. {'theta': J}"),
    "an array for blocks": ({"blocks": W}, "got a ndarray; e.g. {'theta': J}"),
    "blocks of nothing": ({"blocks": {"a": {}}}, "expected one or more blocks"),
    "None for a block": ({"blocks": {"a": None}}, "block 'a': expected an array of numbers, got None"),
    "another n": ({"blocks": {"a": W[:4]}}, "expected an array (6, 2, ...), the parameter's own axes last"),
    "no axis of outputs": ({"blocks": {"a": W[:, 0]}}, "got shape (6, 3, 4)"),
    "no parameters": ({"blocks": {"a": W[..., :0]}}, "expected one parameter or more, got none"),
    "NaN": ({"blocks": {"a": np.where(W[1, 0, 2, 3] == W, np.nan, W)}}, "got nan at [1, 0, 2, 3]"),
    "infinite inputs": ({"inputs": X * [1, np.inf, 1]}, "inputs: expected finite numbers, got inf at [0, 1]"),
    "complex": ({"outputs": Y + 0j}, "give real and imaginary part as two outputs"),
    "text": ({"outputs": np.full((N, C), "x")}, "expected an array of real numbers, got <U1"),
    "fields": (
        {"outputs": np.zeros(N, [("red", "f8"), ("green", "f8")])},
        "expected an array of real numbers, got [('red', '<f8'), ('green', '<f8')] of shape (6,)",
    ),
    "objects": ({"blocks": {"a": object()}}, "expected an array of real numbers, got object"),
    "ragged rows": ({"inputs": [[1.0], [1.0, 2.0]]}, "expected what numpy.asarray takes, got a list"),
    "a mask": ({"inputs": np.ma.masked_greater(X, 0.5)}, "numbers without a mask, got masked ones"),
    "three factors": (
        {"blocks": {"a": (LEFT, RIGHT, RIGHT)}},
        "pair (left, right) of factors, got a tuple of 3",
    ),
    "a named tuple": (
        {"blocks": {"a": namedtuple("Params", "gain shift")(W[..., 0, 0], RIGHT)}},
        "a pair (left, right) or a dict, got a named tuple, Params; give its _asdict()",
    ),
    "no factor": ({"blocks": {"a": (None, None)}}, "got (None, None)"),
    "a tree with tuples": ({"blocks": [(W, RIGHT)]}, "a tuple is a pair of factors, (n, a) and (n, c, b)"),
    "left with outputs": ({"blocks": {"a": (RIGHT, RIGHT)}}, "left factor: expected an array (6, width)"),
    "right without outputs": (
        {"blocks": {"a": (LEFT, LEFT)}},
        "right factor: expected an array (6, 2, width)",
    ),
    "pairs of other outputs": (
        {"blocks": {"a": PairsFactor(PAIRS.left, PAIRS.right[:, :1])}},
        "right: expected an array (6, 2, uses, width), got shape (6, 1, 3, 5)",
    ),
    "an index too large": ({"blocks": {"a": SparseFactor(SPARSE.indices, SPARSE.values, 3)}}, "from 0 to 2"),
    "an index below": ({"blocks": {"a": SparseFactor(SPARSE.indices - 2, SPARSE.values, 7)}}, "got -2 to 1"),
    "a name of dots": ({"blocks": {"..": W}}, "expected names, got '..'"),
    "a name with NUL": ({"blocks": {"a\0b": W}}, "a string of UTF-8 without NUL"),
    "a key that is no name": ({"blocks": {(1, 2): W}}, "got the key (1, 2)"),
    "one name twice": ({"blocks": {"a": {"b": W}, "a.b": W}}, "a name of its own for each block"),
    "a role of nothing": ({"roles": {"enc": "grid"}}, "the beginning of a block's name (encoder, ...)"),
    "a role that is no word": ({"roles": {"encoder": 3}}, "role for 'encoder': expected a word, got 3"),
    "roles that are a list": ({"roles": ["grid"]}, "roles: expected a mapping"),
    "a negative step": ({"step": -1}, "step: expected a whole number from 0"),
    "a step of 64 bits": ({"step": 2**63}, "step: expected a whole number from 0 to 2^63 - 1"),
    "a label that is none": ({"label": 3}, "label: expected a string"),
    "metrics with NaN": ({"metrics": {"loss": float("nan")}}, "metrics"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused_in_one_line_with_nothing_left(name, tmp_path):
    changed, words = WRONG[name]
    arguments = {"inputs": X, "outputs": Y, "blocks": {"encoder": W}} | changed
    with pytest.raises(UsageError) as caught:
        ntkspec.write_run(tmp_path / "run.h5", **arguments)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 400
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_only_if_asked(tmp_path):
    path = tmp_path / "run.h5"
    ntkspec.write_run(path, X, Y, {"a": W})
    before = path.read_bytes()
    with pytest.raises(OutputError, match="expected a name that is free, got one that exists"):
        ntkspec.write_run(path, X, Y, {"a": RIGHT})
    assert path.read_bytes() == before
    ntkspec.write_run(path, X, Y, {"a": RIGHT}, overwrite=True)
    assert read(path).width == 3
    with pytest.raises(NtkspecError, match="No such file or directory; create it"):
        ntkspec.write_run(tmp_path / "nowhere" / "run.h5", X, Y, {"a": W})


@pytest.mark.parametrize("place", ["flush", "close"])
def test_a_full_disk_leaves_the_older_file_alone(place, tmp_path, monkeypatch):
    """Also at the very end, when the snapshot is complete and the file not yet in its place."""
    path = tmp_path / "run.h5"
    ntkspec.write_run(path, X, Y, {"a": W})
    before = path.read_bytes()
    real = getattr(h5py.File, place)

    def full(file):
        if file.attrs.get("complete"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(h5py.File, place, full)
    with pytest.raises(OutputError, match="No space left on device"):
        ntkspec.write_run(path, X, Y, {"a": RIGHT}, overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["run.h5"]
    assert path.read_bytes() == before
