"""Check attributes, links and datasets of an HDF5 file that another program may have written.

The argument `where` is always the place in the file, as error messages show it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec._io import first_line
from ntkspec.errors import RunFileError

Item = TypeVar("Item", h5py.Group, h5py.Dataset)
Holder: TypeAlias = h5py.Group | h5py.Dataset  # what has attributes
AnyArray: TypeAlias = NDArray[Any]  # numbers in the type in which they are stored

SEE = "see docs/run-format.md"
AS_INTEGER = "store it as an integer"  # MATLAB writes numbers as doubles unless told otherwise


@contextlib.contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn errors of HDF5 on damaged data in the `with` block into a `RunFileError` at `where`."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError) as error:
        got = f"an HDF5 error ({first_line(error)})"
        raise RunFileError(where, expected="readable data", got=got, remedy="write the file again") from None


def child(group: h5py.Group, name: str, kind: type[Item], where: str) -> Item:
    """Return a member of a group, which must be stored in this very file.

    Args:
        group: where to look.
        name: of the member.
        kind: what it must be, `h5py.Group` or `h5py.Dataset`.
        where: the group.

    Raises:
        RunFileError: there is no such member, it is of another kind, or it lies in another file.
    """
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
    """Return a dataset of a group, with dtype and shape checked; its numbers are not read.

    Args:
        group: where to look.
        name: of the dataset.
        where: the group.
        dtypes: those that are allowed, in either byte order.
        shape: what it must be; None stands for any length of 1 or more.

    Raises:
        RunFileError: there is no such dataset, or it has another dtype or shape.
    """
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
        wanted = "(" + ", ".join("1 or more" if m is None else str(m) for m in shape) + ")"
        raise RunFileError(
            where,
            expected=f"shape {wanted}",
            got=str(got),
            remedy="write one row a sample; see docs/run-format.md",
        )
    return data


def chunks_inside(data: h5py.Dataset, where: str) -> None:
    """Raise `RunFileError` if a chunk of a dataset is outside the file; this reads the whole chunk index."""
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
    """Return the names of a group's members; raise `RunFileError` if one is an external link."""
    with reading(where):
        names = list(group)
        for name in names:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _outside(f"{where}/{name}", f"an external link to {link.filename!r}")
    return names


def groups(group: h5py.Group, where: str) -> list[str]:
    """Return the names of the groups in a group; other members are ignored."""
    return [name for name in members(group, where) if is_group(group, name, where)]


def is_group(group: h5py.Group, name: str, where: str) -> bool:
    """Return whether a member of a group is a group itself."""
    with reading(f"{where}/{name}"):
        kind: type | None = group.get(name, getclass=True)
    return kind is h5py.Group


def links_stay_inside(file: h5py.File, where: str) -> None:
    """Raise `RunFileError` if the file contains an external link or an HDF5 object reference anywhere."""
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


def text(item: Holder, name: str, where: str) -> str:
    """Return an attribute that is a UTF-8 string, of any kind; raise `RunFileError` if it is not a string."""
    value = _attribute(item, name, where)
    with reading(f"{where}, attribute {name!r}"):
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        if isinstance(value, str):
            value.encode("utf-8")  # h5py turns bytes that are not UTF-8 into surrogates
    if not isinstance(value, str):
        raise _wrong(where, name, "a UTF-8 string", value)
    return value


def integer(item: Holder, name: str, where: str, least: int) -> int:
    """Return an integer attribute; raise `RunFileError` if it is not an integer, or less than `least`."""
    value = _attribute(item, name, where)
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < least:
        raise _wrong(where, name, f"an integer >= {least}", value, _if_float(value, AS_INTEGER))
    return int(value)


def flag(item: Holder, name: str, where: str) -> bool:
    """Return a boolean attribute, which may also be stored as 0 or 1, since HDF5 itself has no booleans.

    Raises:
        RunFileError: it has another value or type.
    """
    value = _attribute(item, name, where)
    if not isinstance(value, bool | np.bool_ | int | np.integer) or value not in (0, 1):
        raise _wrong(where, name, "true or false", value, _if_float(value, f"{AS_INTEGER}, 0 or 1"))
    return bool(value)


def moment(item: Holder, name: str, where: str) -> str:
    """Return an attribute that is an ISO 8601 time, as a string; raise `RunFileError` if it is not."""
    value = text(item, name, where)
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise _wrong(where, name, "an ISO 8601 time in UTC", value) from None
    return value


def json_attribute(
    item: Holder, name: str, where: str, kind: type[dict[str, object]] | type[list[object]]
) -> Any:
    """Return the value of a JSON attribute; raise `RunFileError` unless it is of `kind`, dict or list."""
    value = text(item, name, where)
    try:
        parsed = json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _wrong(where, name, "JSON", f"{value[:40]!r} ({str(error)[:80]})") from None
    if not isinstance(parsed, kind):
        wanted = "a JSON object" if kind is dict else "a JSON list"
        raise _wrong(where, name, wanted, value[:60])
    return parsed


def link(
    group: h5py.Group, name: str, where: str
) -> h5py.HardLink | h5py.SoftLink | h5py.ExternalLink | None:
    """Return the kind of link (hard, soft or external) to a member of a group; None if there is no member."""
    with reading(f"{where}/{name}"):
        return group.get(name, getlink=True)


def has(names: h5py.Group | h5py.AttributeManager, name: str, where: str) -> bool:
    """Return whether a group has a member of this name, or a set of attributes an attribute."""
    with reading(where):
        return name in names


def _attribute(item: Holder, name: str, where: str) -> Any:
    """Return an attribute as h5py reads it; convert an array of one element to a scalar."""
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


def _if_float(value: object, remedy: str) -> str:
    """Return the remedy if the value is a float, otherwise a reference to docs/run-format.md."""
    return remedy if isinstance(value, float | np.floating) else SEE


def _wrong(where: str, name: str, expected: str, got: object, remedy: str = SEE) -> RunFileError:
    shown = got if isinstance(got, str) else _shown(got)
    return RunFileError(f"{where}, attribute {name!r}", expected=expected, got=shown[:120], remedy=remedy)


def _shown(value: object) -> str:
    """Return the type of a value and the value for messages; NumPy numbers are written as Python's."""
    plain = value.item() if isinstance(value, np.number) else value
    return f"{type(value).__name__} {plain!r}"


def _outside(where: str, got: str) -> RunFileError:
    return RunFileError(
        where, expected="data inside this file", got=got, remedy="store the data in the run file itself"
    )
