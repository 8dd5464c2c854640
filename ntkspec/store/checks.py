"""Checks that a reader needs: attributes, links and datasets of a file that anyone may have written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import h5py
import numpy as np

from ntkspec.errors import RunFileError

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
INTEGERS = (np.dtype(np.int32), np.dtype(np.int64))
SEE = "see docs/run-format.md"
AS_INTEGER = "store it as an integer"  # MATLAB writes every number as a double unless told otherwise


@contextlib.contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn whatever HDF5 raises on damaged data into one line about `where`."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError) as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise RunFileError(
            where,
            expected="readable data",
            got=f"an HDF5 error ({reason[:160]})",
            remedy="write the file again",
        ) from None


def child(group: h5py.Group, name: str, kind: type, where: str) -> Any:
    """The member `name` of a group, of kind h5py.Group or h5py.Dataset, stored in this very file."""
    where = f"{where}/{name}"
    wanted = "a group" if kind is h5py.Group else "a dataset"
    with reading(where):
        link = group.get(name, getlink=True)
        if link is None:
            raise RunFileError(
                where, expected=wanted, got="nothing", remedy="write it; see docs/run-format.md"
            )
        if isinstance(link, h5py.ExternalLink):
            raise _outside(where, f"an external link to {link.filename!r}")
        try:
            item = group[name]
        except KeyError:
            raise RunFileError(
                where, expected=wanted, got="a dangling link", remedy="store the data itself"
            ) from None
        if item.file.filename != group.file.filename:
            raise _outside(where, f"a link into {item.file.filename!r}")
        if not isinstance(item, kind):
            got = "a group" if isinstance(item, h5py.Group) else "a dataset or named type"
            raise RunFileError(where, expected=wanted, got=got, remedy="see docs/run-format.md")
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            raise _outside(where, "a dataset stored in other files")
    return item


def dataset(
    group: h5py.Group, name: str, where: str, dtypes: tuple[np.dtype[Any], ...], shape: tuple[int | None, ...]
) -> h5py.Dataset:
    """The dataset `name`, of one of `dtypes` (either byte order) and of `shape` (None: any length >= 1)."""
    data = child(group, name, h5py.Dataset, where)
    where = f"{where}/{name}"
    with reading(where):
        dtype, got = data.dtype, data.shape
    if dtype.newbyteorder("=") not in dtypes:
        wanted = " or ".join(str(choice) for choice in dtypes)
        remedy = f"store it as {dtypes[-1]}"
        if dtype.kind == "f" and dtypes[-1].kind == "i":
            remedy = f"{AS_INTEGER}, {dtypes[-1]}"
        raise RunFileError(where, expected=wanted, got=str(dtype), remedy=remedy)
    fits = got is not None and len(got) == len(shape)
    if not fits or any(n < 1 or (m is not None and n != m) for n, m in zip(got, shape, strict=True)):
        wanted = "(" + ", ".join("any" if m is None else str(m) for m in shape) + ")"
        raise RunFileError(
            where,
            expected=f"shape {wanted}",
            got=str(got),
            remedy="write one row a sample; see docs/run-format.md",
        )
    return data


def chunks_inside(data: h5py.Dataset, where: str) -> None:
    """Walk the whole index of a chunked dataset; raise `RunFileError` at a chunk outside the file."""
    with reading(where):
        if data.chunks is None or not data.size:
            return
        size = data.file.id.get_filesize()
        bad = data.id.chunk_iter(
            lambda chunk: chunk if chunk.byte_offset + chunk.size > size else None  # None: go on
        )
    if bad is not None:
        raise RunFileError(
            where,
            expected=f"chunks within the file's {size} bytes",
            got=f"one of {bad.size} bytes at {bad.byte_offset}",
            remedy="copy or export it again",
        )


def members(group: h5py.Group, where: str) -> list[str]:
    """Names in a group, which must hold no external link."""
    with reading(where):
        names = list(group)
        for name in names:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _outside(f"{where}/{name}", f"an external link to {link.filename!r}")
    return names


def groups(group: h5py.Group, where: str) -> list[str]:
    """Names of the groups in a group; other members are nobody's business."""
    return [name for name in members(group, where) if is_group(group, name, where)]


def is_group(group: h5py.Group, name: str, where: str) -> bool:
    """Whether a member is a group."""
    with reading(f"{where}/{name}"):
        kind: type | None = group.get(name, getclass=True)
    return kind is h5py.Group


def links_stay_inside(file: h5py.File, where: str) -> None:
    """Raise `RunFileError` at a link out of the file or an object reference, wherever it stands."""
    seen, waiting = set(), [(file, "")]
    while waiting:
        group, place = waiting.pop()
        for name in members(group, f"{where}: {place}"):
            with reading(f"{where}: {place}/{name}"):
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    continue
                item = group[name]
                address = h5py.h5o.get_info(item.id).addr
            if isinstance(item, h5py.Dataset) and h5py.check_ref_dtype(item.dtype):
                raise _outside(f"{where}: {place}/{name}", "object references")
            if isinstance(item, h5py.Group) and address not in seen:
                seen.add(address)
                waiting.append((item, f"{place}/{name}"))


def text(item: Any, name: str, where: str) -> str:
    """A string attribute, UTF-8, of fixed or variable length."""
    value = _attribute(item, name, where)
    with reading(f"{where}, attribute {name!r}"):
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        if isinstance(value, str):
            value.encode("utf-8")  # h5py turns bytes that are not UTF-8 into surrogates
    if not isinstance(value, str):
        raise _wrong(where, name, "a UTF-8 string", value)
    return value


def integer(item: Any, name: str, where: str, least: int) -> int:
    """An integer attribute >= least."""
    value = _attribute(item, name, where)
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < least:
        raise _wrong(where, name, f"an integer >= {least}", value, _if_float(value, AS_INTEGER))
    return int(value)


def flag(item: Any, name: str, where: str) -> bool:
    """A true/false attribute; 0 and 1 count, since HDF5 itself has no booleans."""
    value = _attribute(item, name, where)
    if not isinstance(value, bool | np.bool_ | int | np.integer) or value not in (0, 1):
        raise _wrong(where, name, "true or false", value, _if_float(value, f"{AS_INTEGER}, 0 or 1"))
    return bool(value)


def moment(item: Any, name: str, where: str) -> str:
    """An ISO 8601 time."""
    value = text(item, name, where)
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise _wrong(where, name, "an ISO 8601 time in UTC", value) from None
    return value


def json_attribute(item: Any, name: str, where: str, kind: type) -> Any:
    """A JSON attribute whose outermost value is a dict or a list."""
    value = text(item, name, where)
    try:
        parsed = json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _wrong(where, name, "JSON", f"{value[:40]!r} ({str(error)[:80]})") from None
    if not isinstance(parsed, kind):
        wanted = "a JSON object" if kind is dict else "a JSON list"
        raise _wrong(where, name, wanted, value[:60])
    return parsed


def link(group: h5py.Group, name: str, where: str) -> Any:
    """How a group links to a member; None where it has none."""
    with reading(f"{where}/{name}"):
        return group.get(name, getlink=True)


def has(item: Any, name: str, where: str) -> bool:
    """Whether a group has a member, or anything an attribute, of that name."""
    with reading(where):
        return name in item


def _attribute(item: Any, name: str, where: str) -> Any:
    with reading(f"{where}, attribute {name!r}"):
        if name not in item.attrs:
            raise RunFileError(
                where,
                expected=f"the attribute {name!r}",
                got="none",
                remedy="write it; see docs/run-format.md",
            )
        value = item.attrs[name]
    if isinstance(value, np.ndarray) and value.size == 1:  # some writers store scalars as arrays of one
        value = value.reshape(())[()]
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _if_float(value: Any, remedy: str) -> str:
    """The remedy for a number of the wrong type; for anything else, where to look."""
    return remedy if isinstance(value, float | np.floating) else SEE


def _wrong(where: str, name: str, expected: str, got: Any, remedy: str = SEE) -> RunFileError:
    shown = got if isinstance(got, str) else _shown(got)
    return RunFileError(f"{where}, attribute {name!r}", expected=expected, got=shown[:120], remedy=remedy)


def _shown(value: Any) -> str:
    """A value's type and the value, NumPy's numbers as they are written by hand."""
    plain = value.item() if isinstance(value, np.number) else value
    return f"{type(value).__name__} {plain!r}"


def _outside(where: str, got: str) -> RunFileError:
    return RunFileError(
        where, expected="data inside this file", got=got, remedy="store the data in the run file itself"
    )
