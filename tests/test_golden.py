"""Golden run files: read with nothing but h5py and NumPy, and compared with what the package says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import needs
import numpy as np
import pytest

import ntkspec

GOLDEN = Path(__file__).parent.parent / "data" / "golden"
FILES = sorted(GOLDEN.glob("*.h5"))


def naive_blocks(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    """name -> (role, J (n, c, a*b)), by the words of docs/run-format.md alone."""

    def factor(item, name, n, c):
        if name not in item:
            return np.ones((n, c, 1))
        if isinstance(item[name], h5py.Dataset):
            values = item[name][...].astype(float)
            return np.broadcast_to(values[:, None], (n, c, values.shape[-1])) if values.ndim == 2 else values
        if "indices" not in item[name]:  # pairs: the sum over t of in[i, t] (x) g[i, o, t]
            left, right = item[name]["left"][...], item[name]["right"][...]
            return np.einsum("ita,iotb->ioab", left, right).reshape(n, c, -1)
        indices, values = item[name]["indices"][...], item[name]["values"][...].astype(float)
        out = np.zeros((n, c, int(item[name].attrs["columns"])))
        for i, row in enumerate(indices):
            for e, index in enumerate(row):
                for o in range(c):
                    if index != -1:
                        out[i, o, index] += values[i, e] if values.ndim == 2 else values[i, o, e]
        return out

    blocks = {}
    with h5py.File(path) as file:
        (snapshot,) = file["snapshots"].values()
        n, c = snapshot["outputs"].shape
        for name, item in snapshot["blocks"].items():
            left, right = factor(item, "left", n, c), factor(item, "right", n, c)
            jac = np.stack([[np.kron(left[i, o], right[i, o]) for o in range(c)] for i in range(n)])
            role = item.attrs["role"]
            blocks[name] = (role.decode() if isinstance(role, bytes) else role, jac)
    return blocks


def naive_kernel(jac: np.ndarray, outputs) -> np.ndarray:
    if outputs == "full":
        jac = jac.reshape(-1, jac.shape[-1])
        return jac @ jac.T
    chosen = range(jac.shape[1]) if outputs == "trace" else [outputs]
    return sum(jac[:, o] @ jac[:, o].T for o in chosen)


def test_there_are_golden_files():
    versions = []
    for path in FILES:
        with h5py.File(path) as file:
            versions.append(int(file.attrs["version"]))
    assert versions == [1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("outputs", ["trace", "full", 2])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_kernels_and_spectra_agree_with_numpy(path, outputs):
    naive = naive_blocks(path)
    with ntkspec.open_run(path) as run:
        run.check_values()
        jac = run.snapshot(-1).jacobian
        parts = {"total": jac} | {role: jac.only(role) for role in jac.roles}
        for name, part in parts.items():
            expected = sum(naive_kernel(j, outputs) for role, j in naive.values() if name in ("total", role))
            eigenvalues = np.linalg.eigvalsh(expected)[::-1]
            assert np.abs(ntkspec.gram(part, outputs) - expected).max() <= 1e-13 * eigenvalues[0]
            for method in ("gram", "svd", "dual", "auto"):
                found = ntkspec.spectrum(part, outputs, method=method)
                assert np.abs(found.eigenvalues - eigenvalues).max() <= 1e-13 * eigenvalues[0] + found.floor
                assert found.trace == pytest.approx(np.trace(expected), rel=1e-12)


def test_the_patch_is_singular_by_construction_and_said_to_be():
    """Within one activation region J is affine in x: rank K <= d + 1 = 3."""
    with ntkspec.open_run(GOLDEN / "baseline-patch.h5") as run:
        found = ntkspec.spectrum(run.snapshot("init").jacobian)
    assert found.resolved == 3
    assert found.lambda_min is None


@needs.torch
def test_the_golden_files_can_be_made_again(tmp_path):
    """The same script gives the same numbers; HDF5 files carry times, so the bytes differ."""
    script = (GOLDEN / "make.py").read_text().replace("Path(__file__).parent", f"Path({str(tmp_path)!r})")
    (tmp_path / "make.py").write_text(script)
    subprocess.run([sys.executable, tmp_path / "make.py"], check=True)
    for path in FILES:
        old, new = naive_blocks(path), naive_blocks(tmp_path / path.name)
        assert old.keys() == new.keys()
        for name in old:
            assert np.allclose(old[name][1], new[name][1], rtol=1e-9, atol=1e-12), (path.stem, name)
