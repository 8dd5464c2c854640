"""Small valid run files to damage: this package's, and other writers'."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

# Below, since tests/ has to be on the path first.
import cases  # noqa: E402
import runs  # noqa: E402

from ntkspec.store import RunWriter  # noqa: E402


@dataclass(frozen=True)
class Base:
    """A valid file; `ours` where checksums must reveal every change of a number."""

    name: str
    data: bytes
    ours: bool


def make(folder: Path) -> list[Base]:
    """Write the base files into a folder and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    own = [
        _own(folder / "own.h5", np.float64, 8),
        _own(folder / "own-single.h5", np.float32, 6),
    ]
    other = [
        runs.foreign_run(folder / "foreign.h5"),
        _copy(own[0], folder / "compressed.h5", None, compression="gzip", shuffle=True, fletcher32=True),
        _copy(own[0], folder / "latest.h5", "latest"),
        *sorted((HERE.parent.parent / "data" / "golden").glob("*.h5")),
    ]
    made = [Base(path.stem, path.read_bytes(), True) for path in own]
    return made + [Base(path.stem, path.read_bytes(), False) for path in other]


def _own(path: Path, dtype: type, n: int) -> Path:
    """Every kind of block, regions, a scale, pictures and two snapshots."""
    rng = np.random.default_rng(n)
    jac = cases.mixed(n, dtype=dtype)
    inputs = rng.random((n, 2))
    with RunWriter(
        path, inputs=inputs, targets=rng.random((n, 2)), indices=np.arange(n), label="own ü", overwrite=True
    ) as run:
        run.picture("truth", rng.integers(0, 255, (4, 5, 3)).astype(np.uint8))
        for step, name in enumerate(("init", "end")):
            with run.snapshot(name, step=step, label=name, metrics={"psnr_db": 20.5}) as snapshot:
                snapshot.write(0, rng.random((n, 2)), jac, regions=np.arange(n) // 2)
                block = run._file[f"snapshots/{name}/blocks/layer.0"]
                block.create_dataset("scale", data=np.full((6, 4), 0.5))
            run.picture(name, rng.integers(0, 255, (4, 5)).astype(np.uint8))
    return path


def _copy(source: Path, path: Path, libver: str | None, **options: object) -> Path:
    """The same numbers as another writer would store them, without checksums."""
    with h5py.File(source) as old, h5py.File(path, "w", libver=libver) as new:
        new.attrs.update({name: value for name, value in old.attrs.items() if name != "ntkspec_digest"})

        def put(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                made = new.create_dataset(name, data=item[...], chunks=item.chunks or item.shape, **options)
            else:
                made = new.require_group(name)
            kept = {
                key: value
                for key, value in item.attrs.items()
                if key not in ("ntkspec_crc32", "ntkspec_digest")
            }
            made.attrs.update(kept)

        old.visititems(put)
    return path
