"""Checksums of run files: a crc32 of each dataset's numbers, a sha256 of all names, shapes and attributes.

This package's writer adds both. A file without them comes from another writer and is accepted as it is; where
there are checksums, they must be right.
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from collections.abc import Iterator, Mapping

import h5py
import numpy as np

from ntkspec.errors import RunFileError
from ntkspec.store import checks, schema

CRC = "ntkspec_crc32"  # names that no other writer has reason to use
DIGEST = "ntkspec_digest"
# Written last, so not part of the digest; a reader that finds neither treats the file as interrupted.
OWN = (DIGEST, "complete")
REMEDY = f"export or copy it again; after a change on purpose delete every {DIGEST} and the stale {CRC}"


def crc32(values: checks.AnyArray, before: int = 0) -> int:
    """Return the crc32 of an array's bytes, in C order and little-endian.

    Args:
        values: the array.
        before: the crc32 of preceding rows, to which these rows are added.

    Example:
        >>> whole = np.arange(4.0)
        >>> crc32(whole[2:], crc32(whole[:2])) == crc32(whole)
        True
    """
    if values.dtype.byteorder == ">" or (values.dtype.byteorder == "=" and sys.byteorder == "big"):
        values = values.astype(values.dtype.newbyteorder("<"))
    return zlib.crc32(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data, before)


def stored_crc(data: h5py.Dataset, where: str) -> int | None:
    """Return the crc32 that the writer stored with a dataset, or None if it stored none."""
    return checks.integer(data, CRC, where, 0) if checks.has(data.attrs, CRC, where) else None


def compare_crc(stored: int | None, computed: int, where: str) -> None:
    """Raise `RunFileError` if two crc32 differ; do nothing if `stored` is None."""
    if stored is not None and stored != computed:
        raise RunFileError(
            f"{where}, attribute {CRC!r}",
            expected=f"numbers with the checksum {stored:08x} that the writer took",
            got=f"{computed:08x}: the file was damaged or changed",
            remedy=REMEDY,
        )


def snapshot_digest(group: h5py.Group, where: str) -> str:
    """Return the sha256, in hexadecimal, of all names, shapes and attributes in a snapshot."""
    return _sha256(_listing(group, "", where))


def numbers_digest(group: h5py.Group, where: str) -> str:
    """Return a digest of a snapshot without its step, its label and its metrics.

    It is equal for two snapshots of this package's writer if all their numbers are, bit by bit.
    """
    own = f"{''!r} "  # how the lines on the snapshot itself begin
    return _sha256(line for line in _listing(group, "", where) if not line.startswith(own))


def root_digest(file: h5py.File, where: str, snapshots: Mapping[str, str]) -> str:
    """Return the sha256, in hexadecimal, of all content outside the snapshots and of the snapshots' digests.

    Args:
        file: the run file.
        where: the run file, for messages.
        snapshots: digests of the complete snapshots by id.
    """

    def lines() -> Iterator[str]:
        yield from _attributes(file, "", where)
        for name in (schema.SAMPLES, schema.PICTURES):
            if isinstance(checks.link(file, name, where), h5py.HardLink):
                yield from _listing(checks.child(file, name, h5py.Group, where), f"/{name}", where)
        yield from (f"{name!r} {snapshots[name]}" for name in sorted(snapshots))

    return _sha256(lines())


def compare_digest(item: h5py.Group, where: str, computed: str) -> None:
    """Raise `RunFileError` if the computed digest of a group differs from the stored one."""
    stored = checks.text(item, DIGEST, where)
    if stored != computed:
        raise RunFileError(
            f"{where}, attribute {DIGEST!r}",
            expected=f"the names, shapes and attributes of which the writer took {stored[:8]}",
            got=f"{computed[:8]}: the file was damaged or changed",
            remedy=REMEDY,
        )


def _sha256(lines: Iterator[str]) -> str:
    state = hashlib.sha256()
    for line in lines:
        state.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return state.hexdigest()


def _listing(group: h5py.Group, place: str, where: str) -> Iterator[str]:
    """Yield a line for each attribute, dataset, group and link in a group and below it."""
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


def _attributes(item: checks.Holder, place: str, where: str) -> Iterator[str]:
    with checks.reading(f"{where}{place}"):
        attributes = item.attrs
        for name in sorted(attributes):
            if place or name not in OWN:
                yield f"{place!r} {name!r} {_canonical(attributes[name])}"


def _canonical(value: object) -> str:
    """Return an attribute's value as text: booleans as integers, arrays with their dtype and shape."""
    if isinstance(value, str | bytes):
        return repr(value)
    if isinstance(value, bool | int | np.bool_ | np.integer):
        return str(int(value))
    array = np.asarray(value)
    return f"{array.dtype.str} {array.shape} {array.tolist()!r}"
