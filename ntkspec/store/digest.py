"""What was written, in short: a crc32 on every dataset, a sha256 over the names, shapes and attributes above.

Both are additions of this package's writer. A file without them is another writer's, and accepted as it is;
where they stand they must be right.
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import RunFileError
from ntkspec.store import checks, schema

CRC = "ntkspec_crc32"  # names that no other writer has reason to use
DIGEST = "ntkspec_digest"
# Said last, when the digest stands already; a reader that sees neither treats the file as interrupted.
OWN = (DIGEST, "complete")
REMEDY = f"export or copy it again; after a change on purpose delete every {DIGEST} and the stale {CRC}"


def crc32(values: NDArray[Any], before: int = 0) -> int:
    """The crc32 of numbers in row order as little-endian bytes, continued from those before them."""
    if values.dtype.byteorder == ">" or (values.dtype.byteorder == "=" and sys.byteorder == "big"):
        values = values.astype(values.dtype.newbyteorder("<"))
    return zlib.crc32(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data, before)


def stored_crc(data: h5py.Dataset, where: str) -> int | None:
    """The crc32 that a dataset says it has, if it does."""
    return checks.integer(data, CRC, where, 0) if checks.has(data.attrs, CRC, where) else None


def compare_crc(said: int | None, found: int, where: str) -> None:
    """Raise `RunFileError` where a dataset does not hold what was written."""
    if said is not None and said != found:
        raise RunFileError(
            f"{where}, attribute {CRC!r}",
            expected=f"numbers with the checksum {said:08x} that the writer took",
            got=f"{found:08x}: the file was damaged or changed",
            remedy=REMEDY,
        )


def snapshot_digest(group: h5py.Group, where: str) -> str:
    """sha256 over everything in a snapshot."""
    return _sha256(_listing(group, "", where))


def root_digest(file: h5py.File, where: str, snapshots: Mapping[str, str]) -> str:
    """sha256 over the root's attributes, the samples, the pictures and the digests of complete snapshots."""

    def lines() -> Iterator[str]:
        yield from _attributes(file, "", where)
        for name in (schema.SAMPLES, schema.PICTURES):
            if isinstance(checks.link(file, name, where), h5py.HardLink):
                yield from _listing(checks.child(file, name, h5py.Group, where), f"/{name}", where)
        yield from (f"{name!r} {snapshots[name]}" for name in sorted(snapshots))

    return _sha256(lines())


def compare_digest(item: h5py.Group, where: str, found: str) -> None:
    """Raise `RunFileError` where a group does not hold what was written."""
    said = checks.text(item, DIGEST, where)
    if said != found:
        raise RunFileError(
            f"{where}, attribute {DIGEST!r}",
            expected=f"the names, shapes and attributes of which the writer took {said[:8]}",
            got=f"{found[:8]}: the file was damaged or changed",
            remedy=REMEDY,
        )


def _sha256(lines: Iterator[str]) -> str:
    state = hashlib.sha256()
    for line in lines:
        state.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return state.hexdigest()


def _listing(group: h5py.Group, place: str, where: str) -> Iterator[str]:
    """A line for each attribute, dataset, group and link in a group and below it."""
    seen: set[int] = set()
    waiting = [(group, place)]
    while waiting:
        item, place = waiting.pop()
        with checks.reading(f"{where}{place}"):
            address = h5py.h5o.get_info(item.id).addr
            kind = f"{item.dtype.str} {item.shape}" if isinstance(item, h5py.Dataset) else type(item).__name__
        yield f"{place!r} {kind}{' again' if address in seen else ''}"
        if address in seen:
            continue
        seen.add(address)
        yield from _attributes(item, place, where)
        if not isinstance(item, h5py.Group):
            continue
        for name in sorted(checks.members(item, f"{where}{place}"), reverse=True):
            link = checks.link(item, name, f"{where}{place}")
            if isinstance(link, h5py.HardLink):
                with checks.reading(f"{where}{place}/{name}"):
                    waiting.append((item[name], f"{place}/{name}"))
            else:
                yield f"{place}/{name} -> {getattr(link, 'path', '')}"


def _attributes(item: Any, place: str, where: str) -> Iterator[str]:
    with checks.reading(f"{where}{place}"):
        attributes = item.attrs
        for name in sorted(attributes):
            if place or name not in OWN:
                yield f"{place!r} {name!r} {_canonical(attributes[name])}"


def _canonical(value: Any) -> str:
    """Text as it is, truth values and integers as integers, other numbers by their bytes."""
    if isinstance(value, str | bytes):
        return repr(value)
    if isinstance(value, bool | int | np.bool_ | np.integer):
        return str(int(value))
    array = np.asarray(value)
    return f"{array.dtype.str} {array.shape} {array.tolist()!r}"
