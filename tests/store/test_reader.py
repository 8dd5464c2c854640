"""Reading: whatever obeys the contract is accepted, whoever wrote it; anything else is refused in a line."""

from __future__ import annotations

import json
import os
import shutil

import cases
import h5py
import numpy as np
import oracles
import pytest
import runs

import ntkspec
from ntkspec.errors import MemoryBudgetError, RunFileError, UsageError
from ntkspec.store import open_run


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    return runs.write_run(tmp_path_factory.mktemp("valid") / "run.h5")


def test_a_file_from_another_writer(tmp_path):
    with open_run(runs.foreign_run(tmp_path / "other.h5")) as run:
        run.check_values()
        snap = run.snapshot("end")
        assert (run.label, snap.id, snap.step) == ("größer", "γ 1", 7)
        assert snap.jacobian.names == ("only right", "level")
        assert snap.scales["only right"].read().shape == (1, 6)
        assert snap.regions.tolist() == [0] * 6
        jac = snap.jacobian.load()
        assert jac["only right"].right.values.dtype == np.dtype(np.float32)
        # The colliding weights 0.5 + 0.5 at node 0 add up; a factor that is absent is all ones: K = c.
        assert np.allclose(ntkspec.gram(snap.jacobian.only("grid")), 2)
        assert np.allclose(ntkspec.gram(snap.jacobian), oracles.kernel(jac, "trace"))


def test_snapshots_by_id_label_step_and_last(valid):
    with open_run(valid) as run:
        assert run.snapshot("init").step == run.snapshot(0).step == 0
        assert run.snapshot("end").step == run.snapshot(10).step == run.snapshot(-1).step == 10
        with pytest.raises(UsageError, match=r"init \(label 'init', step 0\)"):
            run.snapshot("middle")


def test_reading_is_lazy_and_within_the_budget(valid):
    with open_run(valid, memory=1e-7) as run, pytest.raises(MemoryBudgetError, match="budget"):
        run.snapshot("end").jacobian.load()


def test_a_compressed_chunk_must_fit(valid, tmp_path):
    """HDF5 has it in memory as a whole, however few of its rows are asked for."""
    path = edited(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        dataset("samples/inputs", np.zeros((12, 2)), chunks=(12, 2), compression="gzip")(file)
    with pytest.raises(MemoryBudgetError, match="a chunk"):
        open_run(path, memory=1e-7)


def test_pictures_of_another_kind_are_ignored(valid, tmp_path):
    path = edited(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file["pictures/truth"] = np.zeros((3, 3))
    with open_run(path) as run:
        assert run.pictures == {}


def edited(source, path):
    """A copy to edit, without the digests that would tell."""
    with h5py.File(shutil.copy(source, path), "r+") as file:
        for signed in (file, *file["snapshots"].values()):
            del signed.attrs["ntkspec_digest"]
    return path


S = "snapshots/end"
B = f"{S}/blocks"


def attribute(where, name, value):
    def edit(file):
        del file[where].attrs[name]
        if value is not None:
            file[where].attrs[name] = value

    return edit


def dataset(name, value, **options):
    def edit(file):
        del file[name]
        file.create_dataset(name, data=value, **options)

    return edit


def poke(name, at, value):
    def edit(file):
        file[name][at] = value

    return edit


def link(name, target):
    def edit(file):
        del file[name]
        file[name] = target

    return edit


def virtual(file):
    layout = h5py.VirtualLayout((12, 2), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd.h5", "x", (12, 2))
    del file[f"{S}/outputs"]
    file.create_virtual_dataset(f"{S}/outputs", layout)


def unknown_filter(file):
    del file["samples/inputs"]
    data = file.create_dataset(
        "samples/inputs", (12, 2), "f8", chunks=(12, 2), compression=32_000, allow_unknown_filter=True
    )
    data.id.write_direct_chunk((0, 0), b"squeezed by a plugin that nobody has")


def not_utf8(file):
    file.attrs.create("label", b"\xff\xfe", dtype=h5py.string_dtype())


def reference(file):
    del file["samples/inputs"]
    file.create_dataset("samples/inputs", (12, 2), h5py.ref_dtype)


# what was done to a valid file, and a word that the one line must hold
HOSTILE = {
    "wrong format": (attribute("/", "format", "other"), "format"),
    "no format": (attribute("/", "format", None), "format"),
    "format is a number": (attribute("/", "format", 3.0), "UTF-8 string"),
    "format is not UTF-8": (attribute("/", "format", np.bytes_(b"\xff\xfe")), "format"),
    "wrong version": (attribute("/", "version", 3), "version 3"),
    "version is text": (attribute("/", "version", "1"), "integer"),
    "no label": (attribute("/", "label", None), "label"),
    "created is no time": (attribute("/", "created", "yesterday"), "ISO 8601"),
    "complete is text": (attribute("/", "complete", "yes"), "true or false"),
    "config is no JSON": (attribute("/", "config", "{"), "JSON"),
    "config is a list": (attribute("/", "config", "[]"), "JSON object"),
    "config has NaN": (attribute("/", "config", '{"a": NaN}'), "JSON"),
    "config is deep": (attribute("/", "config", "[" * 60_000), "JSON"),
    "attribute is a reference": (lambda f: f.attrs.create("label", f.ref, dtype=h5py.ref_dtype), "UTF-8"),
    "attribute is empty": (lambda f: f.attrs.create("label", h5py.Empty("S1")), "UTF-8"),
    "no samples": (lambda f: f.__delitem__("samples"), "samples"),
    "inputs are integers": (dataset("samples/inputs", np.zeros((12, 2), int)), "float32 or float64"),
    "inputs are half precision": (dataset("samples/inputs", np.zeros((12, 2), "f2")), "float16"),
    "inputs are complex": (dataset("samples/inputs", np.zeros((12, 2), complex)), "complex128"),
    "inputs are text": (dataset("samples/inputs", [[b"a", b"b"]] * 12), "float32 or float64"),
    "inputs are references": (reference, "object"),
    "inputs are scalar": (dataset("samples/inputs", 1.0), "shape"),
    "inputs are a null space": (dataset("samples/inputs", h5py.Empty("f8")), "shape"),
    "inputs have no rows": (dataset("samples/inputs", np.zeros((0, 2))), "shape"),
    "inputs are NaN": (poke("samples/inputs", 3, np.nan), "finite"),
    "too few inputs": (dataset("samples/inputs", np.zeros((11, 2))), "11"),
    "targets of another width": (dataset("samples/targets", np.zeros((12, 3))), "outputs"),
    "inputs are a group": (link("samples/inputs", h5py.SoftLink("/samples")), "dataset"),
    "external link": (link("samples/inputs", h5py.ExternalLink("/etc/passwd", "/x")), "external link"),
    "external samples": (link("samples", h5py.ExternalLink("x.h5", "/")), "external link"),
    "external block": (link(f"{B}/layer.0", h5py.ExternalLink("x.h5", "/")), "external link"),
    "dangling link": (link(f"{S}/outputs", h5py.SoftLink("/nowhere")), "dangling"),
    "virtual dataset": (virtual, "other files"),
    "external storage": (
        lambda f: (
            f.__delitem__(f"{S}/outputs"),
            f.create_dataset(f"{S}/outputs", (12, 2), "f8", external="x.bin"),
        ),
        "other files",
    ),
    "no snapshots": (lambda f: f.__delitem__("snapshots"), "snapshots"),
    "no complete snapshot": (
        lambda f: [f[f"snapshots/{s}"].attrs.__setitem__("complete", False) for s in ("init", "end")],
        "at least one complete snapshot",
    ),
    "snapshot without its mark": (attribute(S, "complete", None), "complete"),
    "negative step": (attribute(S, "step", -1), "step"),
    "step is a float": (attribute(S, "step", 1.5), "step"),
    "metrics with text": (attribute(S, "metrics", '{"psnr_db": "high"}'), "finite numbers"),
    "metrics overflow": (attribute(S, "metrics", '{"psnr_db": 1e999}'), "finite numbers"),
    "metrics with true": (attribute(S, "metrics", '{"ok": true}'), "finite numbers"),
    "no outputs": (lambda f: f.__delitem__(f"{S}/outputs"), "outputs"),
    "outputs are Inf": (poke(f"{S}/outputs", 0, np.inf), "finite"),
    "regions are floats": (lambda f: f.create_dataset(f"{S}/regions", data=np.zeros(12)), "int64"),
    "no blocks": (lambda f: [f.__delitem__(f"{B}/{b}") for b in list(f[B])], "block"),
    "block without factors": (lambda f: f.__delitem__(f"{B}/layer.1/right"), "left, right or both"),
    "no role": (attribute(f"{B}/layer.0", "role", None), "role"),
    "no order": (attribute(f"{B}/layer.0", "order", None), "order"),
    "parameters are no list": (attribute(f"{B}/layer.0", "parameters", "{}"), "JSON list"),
    "parameters without shape": (attribute(f"{B}/layer.0", "parameters", '[{"name": "w"}]'), "shape"),
    "parameters of negative size": (
        attribute(f"{B}/layer.0", "parameters", '[{"name": "w", "shape": [-4, -6]}]'),
        "shape",
    ),
    "parameters that do not add up": (
        attribute(f"{B}/layer.0", "parameters", '[{"name": "w", "shape": [25]}]'),
        "6*4 = 24",
    ),
    "rows of a factor": (dataset(f"{B}/layer.0/left", np.zeros((13, 6))), "13"),
    "outputs of a factor": (dataset(f"{B}/layer.0/right", np.zeros((12, 3, 4))), "shape"),
    "right without outputs axis": (dataset(f"{B}/layer.0/right", np.zeros((12, 4))), "shape"),
    "factor has NaN": (poke(f"{B}/layer.0/right", (3, 1, 2), np.nan), "finite"),
    "soft link to itself": (link(f"{B}/layer.0/right", h5py.SoftLink(f"/{B}/layer.0/right")), "readable"),
    "external link elsewhere": (
        lambda f: f.__setitem__("extra", h5py.ExternalLink("x.h5", "/")),
        "external link",
    ),
    "references elsewhere": (lambda f: f.create_dataset("extra/refs", (3,), h5py.ref_dtype), "references"),
    "text that is not UTF-8": (not_utf8, "label"),
    "metrics of 400 digits": (attribute(S, "metrics", '{"x": 1' + "0" * 400 + "}"), "finite numbers"),
    "index too large": (poke(f"{B}/level.1/left/indices", (2, 1), 400), "399"),
    "index below -1": (poke(f"{B}/level.1/left/indices", (2, 1), -2), "-1 for padding"),
    "indices are floats": (dataset(f"{B}/level.1/left/indices", np.zeros((12, 4))), "int32 or int64"),
    "indices are unsigned": (dataset(f"{B}/level.1/left/indices", np.zeros((12, 4), "u8")), "int32 or int64"),
    "entries do not match": (dataset(f"{B}/level.1/left/values", np.zeros((12, 3))), "shape"),
    "columns absent": (attribute(f"{B}/level.1/left", "columns", None), "columns"),
    "columns huge": (attribute(f"{B}/level.1/left", "columns", 2**40), "add up"),
    "scale of another shape": (
        lambda f: f.create_dataset(f"{B}/layer.0/scale", data=np.ones((4, 6))),
        "shape",
    ),
    "scale is zero": (lambda f: f.create_dataset(f"{B}/layer.0/scale", data=np.zeros((6, 4))), "positive"),
    "unknown filter": (unknown_filter, "readable"),
}


def as_double(where, name):
    """An attribute as MATLAB writes a number, unless told otherwise."""

    def edit(file):
        file[where].attrs[name] = np.float64(file[where].attrs[name])

    return edit


AS_DOUBLES = {
    "version": as_double("/", "version"),
    "complete": as_double("/", "complete"),
    "complete of a snapshot": as_double(S, "complete"),
    "step": as_double(S, "step"),
    "order": as_double(f"{B}/layer.0", "order"),
    "columns": as_double(f"{B}/level.1/left", "columns"),
    "sizes": attribute(f"{B}/layer.0", "parameters", '[{"name": "w", "shape": [6.0, 4.0]}]'),
    "indices": dataset(f"{B}/level.1/left/indices", np.zeros((12, 4))),
    "samples/indices": lambda file: file.create_dataset("samples/indices", data=np.arange(12.0)),
    "regions": lambda file: file.create_dataset(f"{S}/regions", data=np.zeros(12)),
    "certain": lambda file: file.create_dataset(f"{S}/regions", data=np.zeros(12, int)).attrs.update(
        {"ntkspec_certain": 1.0}
    ),
    "checksum": as_double(f"{S}/outputs", "ntkspec_crc32"),
}


@pytest.mark.parametrize("name", AS_DOUBLES)
def test_what_should_be_an_integer_and_is_a_double(name, valid, tmp_path):
    path = edited(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        AS_DOUBLES[name](file)
    with pytest.raises(RunFileError, match="store it as an integer") as caught, open_run(path) as run:
        run.check_values()
    assert "np.float64(" not in str(caught.value)


@pytest.mark.parametrize("value", ["1", -1, np.arange(3)])
def test_what_is_no_double_is_not_called_one(value, valid, tmp_path):
    path = edited(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file[S].attrs["step"] = value
    with pytest.raises(RunFileError, match=r"an integer >= 0.*see docs/run-format\.md"):
        open_run(path)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line(name, valid, tmp_path):
    edit, word = HOSTILE[name]
    path = edited(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        edit(file)
    with pytest.raises(RunFileError) as caught, open_run(path) as run:
        run.check_values()
    message = str(caught.value)
    assert word in message, message
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 500


def test_a_dataset_that_claims_more_than_the_budget(valid, tmp_path):
    path = shutil.copy(valid, tmp_path / "run.h5")
    n = 2**40
    with h5py.File(path, "r+") as file:
        for name in ("samples/inputs", f"{S}/outputs"):
            del file[name]
            file.create_dataset(name, (n, 2), "f8", chunks=(1024, 2))[:5] = 1.0
        del file["samples/targets"], file["snapshots/init"]
        for block in list(file[B]):
            del file[f"{B}/{block}"]
        wide = file.create_group(f"{B}/wide")
        wide.attrs.update({"role": "network", "order": 0, "parameters": '[{"name": "w", "shape": [4]}]'})
        wide.create_dataset("right", (n, 2, 4), "f8", chunks=(1024, 2, 4))[:5] = 1.0
    assert os.path.getsize(path) < 2**20
    with pytest.raises(RunFileError, match="16 TiB claimed"):
        open_run(path)
    with pytest.raises(RunFileError, match="16 TiB claimed"):
        open_run(path, memory=1000)


@pytest.mark.parametrize("kind", ["absent", "folder", "empty", "text", "truncated", "other hdf5", "pipe"])
def test_files_that_are_no_run_files(kind, valid, tmp_path):
    path = tmp_path / "run.h5"
    whole = valid.read_bytes()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "other hdf5":
        h5py.File(path, "w").close()
    elif kind != "absent":
        content = {"empty": b"", "text": b"hello\n", "truncated": whole[: len(whole) // 2]}
        path.write_bytes(content[kind])
    with pytest.raises(RunFileError) as caught, open_run(path) as run:
        run.check_values()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_interrupted_file_is_usable_with_a_warning(valid, tmp_path):
    path = edited(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["complete"] = False
        del file[S].attrs["complete"]
        file.create_group("snapshots/just begun")
    with open_run(path) as run:
        assert [snap.id for snap in run.snapshots] == ["init"]
        assert "end" in run.warnings[0]
        assert "just begun" in run.warnings[0]


def test_what_the_contract_does_not_name_is_ignored(valid, tmp_path):
    path = edited(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file["snapshots/notes"] = np.arange(3)
        file[f"{B}/notes"] = "text"
        file[f"{S}/more/deep"] = 1.0
        file["loop"] = file["/"]
        del file[f"{B}/layer.0/right"]
        file.create_dataset(f"{B}/layer.0/right", (12, 2, 4), "f8", fillvalue=0.5)
    with open_run(path) as run:
        run.check_values()
        assert (run.snapshot("end").jacobian["layer.0"].right.load().values == 0.5).all()


def test_compressed_and_soft_linked_data_are_accepted(valid, tmp_path):
    path = edited(valid, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        right = file[f"{B}/layer.0/right"][...]
        del file[f"{B}/layer.0/right"]
        file.create_dataset("kept", data=right, compression="gzip", shuffle=True, fletcher32=True)
        file[f"{B}/layer.0/right"] = h5py.SoftLink("/kept")
    with open_run(path) as run:
        run.check_values()
        assert np.array_equal(run.snapshot("end").jacobian["layer.0"].right.load().values, right)


def test_the_jacobian_survives_the_file(valid):
    with open_run(valid) as run:
        assert np.array_equal(run.snapshot("end").jacobian.to_dense(), cases.mixed(12).to_dense())


def test_a_file_that_was_closed_is_said_to_be(tmp_path):
    with open_run(runs.write_run(tmp_path / "run.h5")) as run:
        jacobian = run.snapshot("end").jacobian
    with pytest.raises(RunFileError, match="got one that was closed; read inside the with-block"):
        jacobian.load()


def test_a_parameter_may_be_empty(tmp_path):
    """A model may have a tensor of no numbers; it adds nothing to its block's width."""
    path = runs.write_run(tmp_path / "run.h5", steps=(0,))
    with h5py.File(path, "r+") as file:
        block = file["snapshots/end/blocks/layer.1"]
        listed = json.loads(block.attrs["parameters"])
        block.attrs["parameters"] = json.dumps([*listed, {"name": "none", "shape": [0, 3]}])
        for item in (file, file["snapshots/end"]):
            item.attrs.pop("ntkspec_digest", None)
    with open_run(path) as run:
        parameters = run.snapshots[0].jacobian["layer.1"].parameters
    assert parameters[-1].shape == (0, 3)


def test_samples_are_taken_within_the_budget(tmp_path):
    """A range of rows at a time; what is asked for must fit, the rest of the file need not."""
    rng = np.random.default_rng(0)
    factor = cases.DenseFactor(rng.standard_normal((4000, 1, 200)))
    jac = cases.Jacobian((cases.block("b", None, factor, 4000, 1),))
    path = runs.write_run(tmp_path / "run.h5", jac, steps=(0,))
    with open_run(path, memory=2**21 / 2**30) as run:  # 2 MiB of 6.1
        stored = run.snapshots[0].jacobian
        picked = np.array([3999, 5, 5, 2000])
        assert np.array_equal(stored.rows(picked).to_dense(), jac.to_dense()[picked])
        with pytest.raises(MemoryBudgetError, match="take fewer samples"):
            stored.rows(np.arange(3000))
        values = stored["b"].right.values
        assert np.array_equal(values[10:20:3], factor.values[10:20:3])


def test_pictures_and_checks_of_a_file_that_was_closed(tmp_path):
    with open_run(runs.write_run(tmp_path / "run.h5")) as run:
        pass
    for ask in (lambda: run.pictures, run.check_values):
        with pytest.raises(RunFileError, match="got one that was closed"):
            ask()
