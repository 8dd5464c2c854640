"""Ways to damage a run file: on its bytes, and through h5py."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

Rng = np.random.Generator
SIGNATURES = (
    *(b"TREE", b"SNOD", b"HEAP", b"OHDR", b"FRHP", b"GCOL", b"FHDB", b"FHIB", b"BTHD", b"BTLF", b"BTIN"),
    *(b"FAHD", b"FADB", b"EAHD", b"EAIB", b"OCHK", b"FSHD", b"\x89HDF"),
)
HUGE = (2**64 - 1, 2**63 - 1, 2**62, 2**48, 2**40, 2**32, 2**31, 2**24, 65535, 255, 1, 0)


# -- on bytes


def flip_bits(data: bytearray, rng: Rng) -> None:
    for _ in range(int(2 ** rng.uniform(0, 6.01))):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)


def flip_one(data: bytearray, rng: Rng) -> None:
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)


def overwrite(data: bytearray, rng: Rng) -> None:
    start = int(rng.integers(len(data)))
    size = min(int(2 ** rng.uniform(0, 15)), len(data) - start)
    fills = (bytes(size), b"\xff" * size, rng.bytes(size))
    data[start : start + size] = fills[rng.integers(3)]


def truncate(data: bytearray, rng: Rng) -> None:
    del data[int(rng.integers(len(data))) :]


def extend(data: bytearray, rng: Rng) -> None:
    size = int(rng.integers(1, 10_000))
    data += rng.bytes(size) if rng.random() < 0.5 else bytes(size)


def swap_blocks(data: bytearray, rng: Rng) -> None:
    size = int(2 ** rng.integers(3, 13))
    a, b = (int(x) * 8 for x in rng.integers(0, max((len(data) - size) // 8, 1), 2))
    one, two = bytes(data[a : a + size]), bytes(data[b : b + size])
    data[a : a + len(two)] = two
    if rng.random() < 0.5:  # else b is there twice
        data[b : b + len(one)] = one


def hit_header(data: bytearray, rng: Rng) -> None:
    """Random bytes, or one flipped bit, in the fields after a signature."""
    for _ in range(rng.integers(1, 4)):
        at = _near_signature(data, rng, 64)
        data[at] = int(rng.integers(256)) if rng.random() < 0.5 else data[at] ^ (1 << rng.integers(8))


def hit_superblock(data: bytearray, rng: Rng) -> None:
    data[int(rng.integers(8, 96))] = int(rng.integers(256))


def huge_field(data: bytearray, rng: Rng) -> None:
    """A length or an address near a signature, set to something absurd or to itself."""
    at = _near_signature(data, rng, 48) & ~3
    size = int(rng.choice([2, 4, 8]))
    value = int(at if rng.random() < 0.2 else HUGE[rng.integers(len(HUGE))])
    data[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")


def huge_anywhere(data: bytearray, rng: Rng) -> None:
    """The same in object headers, which carry no signature."""
    at = int(rng.integers(len(data) - 8)) & ~7
    while not any(data[at : at + 8]) and rng.random() < 0.99:
        at = int(rng.integers(len(data) - 8)) & ~7
    size = int(rng.choice([1, 2, 4, 8]))
    data[at : at + size] = (HUGE[rng.integers(len(HUGE))] % 2 ** (8 * size)).to_bytes(size, "little")


def zero_middle(data: bytearray, rng: Rng) -> None:
    a, b = sorted(rng.uniform(0.02, 0.98, 2))
    a, b = int(a * len(data)), int(b * len(data))
    data[a:b] = bytes(b - a)


def _near_signature(data: bytearray, rng: Rng, reach: int) -> int:
    found = []
    for signature in SIGNATURES:
        at = data.find(signature)
        while at >= 0:
            found.append(at)
            at = data.find(signature, at + 1)
    start = int(rng.choice(found)) if found else 0
    return min(start + int(rng.integers(reach)), len(data) - 1)


BYTES: tuple[Callable[[bytearray, Rng], None], ...] = (
    *(flip_bits, flip_one, overwrite, truncate, extend, swap_blocks, hit_header, hit_header),
    *(hit_superblock, huge_field, huge_field, huge_anywhere, zero_middle),
)


# -- through h5py


def _items(file: h5py.File) -> list[Any]:
    found: list[Any] = [file]
    file.visititems(lambda name, item: found.append(item))
    return found


def _any(file: h5py.File, rng: Rng, kind: type | None = None) -> Any:
    items = [item for item in _items(file) if kind is None or isinstance(item, kind)]
    return items[rng.integers(len(items))]


def _attribute(file: h5py.File, rng: Rng) -> tuple[Any, str]:
    pairs = [(item, name) for item in _items(file) for name in item.attrs]
    return pairs[rng.integers(len(pairs))]


def attribute_removed(file: h5py.File, rng: Rng) -> None:
    item, name = _attribute(file, rng)
    del item.attrs[name]


def attribute_replaced(file: h5py.File, rng: Rng) -> None:
    item, name = _attribute(file, rng)
    values: list[Callable[[], Any]] = [
        lambda: "text",
        lambda: "",
        lambda: "x" * 60_000,
        lambda: "a\nb\x1b[31m\x07\u202e",
        lambda: np.bytes_(b"\xff\xfe\x00z"),
        lambda: 3.5,
        lambda: -1,
        lambda: 0,
        lambda: 2**63 - 1,
        lambda: np.uint64(2**64 - 1),
        lambda: np.float64(np.nan),
        lambda: np.arange(5),
        lambda: np.zeros((3, 0)),
        lambda: np.zeros((2000,)),
        lambda: np.array([1 + 2j]),
        lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        lambda: h5py.Empty("f8"),
        lambda: h5py.Empty(h5py.string_dtype()),
        lambda: "[" * 50_000,
        lambda: '{"a":' * 9_000 + "1" + "}" * 9_000,
        lambda: '{"a": NaN}',
        lambda: '{"a": 1e999}',
        lambda: '{"a": ' + "9" * 5_000 + "}",
        lambda: '{"\\ud800": 1}',
        lambda: '{"a": 1, "a": 2}',
        lambda: '[{"name": "w", "shape": [99999999999999999999999, 0]}]',
        lambda: '[{"name": "w", "shape": [' + "2," * 9_000 + "2]}]",
        lambda: "9999-99-99",
        lambda: True,
        lambda: ["a", "b"],
    ]
    value = values[rng.integers(len(values))]()
    del item.attrs[name]
    item.attrs[name] = value


def attribute_odd_type(file: h5py.File, rng: Rng) -> None:
    item, name = _attribute(file, rng)
    del item.attrs[name]
    choice = rng.integers(5)
    if choice == 0:
        item.attrs.create(name, file.ref, dtype=h5py.ref_dtype)
    elif choice == 1:
        item.attrs.create(name, b"\xff\xfe", dtype=h5py.string_dtype())
    elif choice == 2:
        item.attrs.create(name, np.arange(3), dtype=h5py.vlen_dtype(np.int32), shape=())
    elif choice == 3:
        item.attrs.create(name, 1, dtype=h5py.enum_dtype({"A": 1, "B": 7}))
    else:
        item.attrs.create(name, np.void(b"opaque"), dtype="V6")


def dataset_replaced(file: h5py.File, rng: Rng) -> None:
    data = _any(file, rng, h5py.Dataset)
    shape, name = data.shape, data.name
    rows = shape[0] if shape else 1
    options: list[dict[str, Any]] = [
        {"data": np.zeros(shape, int)},
        {"data": np.ones(shape, "f2")},
        {"data": np.ones(shape, complex)},
        {"data": np.ones(shape, ">f8")},
        {"data": np.ones(shape, "u8")},
        {"data": np.zeros(shape, [("a", "f8")])},
        {"data": np.full(shape, b"x")},
        {"data": h5py.Empty("f8")},
        {"data": 1.0},
        {"data": np.ones((rows + 1, *shape[1:]))},
        {"data": np.ones((*shape, 2))},
        {"data": np.ones((0, *shape[1:]))},
        {"data": np.ones((rows, 0))},
        {"data": np.ones(shape), "chunks": (1,) * len(shape)},
        {"data": np.ones(shape), "chunks": (1,) * len(shape), "compression": "lzf"},
        {"data": np.ones(shape), "chunks": True, "scaleoffset": 3},
        {"shape": (2**45, *shape[1:]), "dtype": "f8", "chunks": (1024, *shape[1:])},
        {"shape": (2**45, *shape[1:]), "dtype": "f8"},
        {"shape": (*shape[:-1], 2**40), "dtype": "f8", "chunks": (*shape[:-1], 64)},
        {"shape": shape, "dtype": "f8", "fillvalue": np.nan},
        {"shape": shape, "maxshape": (None,) * len(shape), "dtype": "f8", "chunks": (4096,) * len(shape)},
        {"shape": shape, "dtype": h5py.ref_dtype},
        {"shape": shape, "dtype": h5py.string_dtype()},
        {"shape": shape, "dtype": h5py.vlen_dtype(np.float64)},
        {"shape": shape, "dtype": np.dtype(("f8", (3,)))},
        {"shape": shape, "dtype": "f8", "external": "outside.bin"},
        {"shape": shape, "dtype": "f8", "external": [("/etc/passwd", 0, h5py.h5f.UNLIMITED)]},
    ]
    chosen = options[rng.integers(len(options))]
    del file[name]
    file.create_dataset(name, **chosen)


def bomb(file: h5py.File, rng: Rng) -> None:
    """Chunks that unpack to far more than they are said to hold."""
    data = _any(file, rng, h5py.Dataset)
    shape, name = data.shape, data.name
    del file[name]
    made = file.create_dataset(name, shape, "f8", chunks=shape, compression="gzip")
    made.id.write_direct_chunk((0,) * len(shape), _packed_gibibyte())


@functools.cache
def _packed_gibibyte() -> bytes:
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(2**22)) for _ in range(256)) + packer.flush()


def bad_filter(file: h5py.File, rng: Rng) -> None:
    data = _any(file, rng, h5py.Dataset)
    shape, name = data.shape, data.name
    del file[name]
    kind: Any = [32_000, "gzip", "lzf"][rng.integers(3)]
    options = {"compression": kind, "allow_unknown_filter": True}
    made = file.create_dataset(name, shape, "f8", chunks=shape, fletcher32=rng.random() < 0.3, **options)
    made.id.write_direct_chunk((0,) * len(shape), rng.bytes(int(rng.integers(1, 3000))))


def virtual(file: h5py.File, rng: Rng) -> None:
    data = _any(file, rng, h5py.Dataset)
    shape, name = data.shape, data.name
    layout = h5py.VirtualLayout(shape, "f8")
    source = ["/etc/passwd", "input.h5", ".", "outside.h5"][rng.integers(4)]
    layout[...] = h5py.VirtualSource(source, name if rng.random() < 0.5 else "x", shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def linked(file: h5py.File, rng: Rng) -> None:
    item = _any(file, rng)
    name = item.name if item.name != "/" and rng.random() < 0.7 else f"{_any(file, rng, h5py.Group).name}/new"
    links: list[Callable[[], Any]] = [
        lambda: h5py.SoftLink("/nowhere"),
        lambda: h5py.SoftLink(name),
        lambda: h5py.SoftLink("."),
        lambda: h5py.SoftLink(""),
        lambda: h5py.SoftLink("/" + "a/" * 5000),
        lambda: h5py.ExternalLink("/etc/passwd", "/x"),
        lambda: h5py.ExternalLink("input.h5", name),
        lambda: h5py.ExternalLink("other.h5", "/"),
        lambda: file["/"],
        lambda: file["snapshots"],
        lambda: _any(file, rng),
    ]
    target = links[rng.integers(len(links))]()
    if name in file:
        del file[name]
    file[name] = target


def removed(file: h5py.File, rng: Rng) -> None:
    item = _any(file, rng)
    if item.name != "/":
        del file[item.name]


def values(file: h5py.File, rng: Rng) -> None:
    data = _any(file, rng, h5py.Dataset)
    bad = [np.nan, np.inf, -np.inf, 5e-324, 1e300, -1e300, 1e-300, 0, -1, -2, 2**31 - 1, 1e155, 1e10]
    value = bad[rng.integers(len(bad))]
    if data.dtype.kind in "iu":
        value = [-2, -1, 2**31 - 1, 400, 0][rng.integers(5)] if data.dtype.kind == "i" else 255
    if data.dtype == np.float32:
        value = float(np.clip(value, -3e38, 3e38)) if np.isfinite(value) else value
    at = tuple(int(rng.integers(size)) for size in data.shape)
    with np.errstate(all="ignore"):
        data[... if rng.random() < 0.4 else at] = value


def scaled(file: h5py.File, rng: Rng) -> None:
    """All factors very large, very small, or alike."""
    factor = [1e-320, 1e-200, 1e-160, 1e150, 1e200, 0.0][rng.integers(6)]
    for item in _items(file):
        if isinstance(item, h5py.Dataset) and "/blocks/" in item.name and item.dtype.kind == "f":
            with np.errstate(all="ignore"):
                item[...] = item[...] * item.dtype.type(factor)


def renamed(file: h5py.File, rng: Rng) -> None:
    group = _any(file, rng, h5py.Group)
    names = list(group)
    if not names:
        return
    new = [
        *("a\nb", "x" * 4096, "ü💥", "..", " ", "a|b", "total", "%s{}", "<script>alert(1)</script>"),
        *("\x1b[2J", "-o", "$(touch x)", "no_grid", "grid", "a" * 300 + "/b"),
    ]
    group.move(names[rng.integers(len(names))], new[rng.integers(len(new))])


def snapshots_alike(file: h5py.File, rng: Rng) -> None:
    snapshots = list(file["snapshots"].values())
    for snap in snapshots:
        snap.attrs["step"] = [0, 2**62, 7][rng.integers(3)]
        snap.attrs["label"] = ["end", "", "x" * 3000, "<b>&\x00"[: rng.integers(1, 6)]][rng.integers(4)]
        for block in snap["blocks"].values():
            block.attrs["order"] = int(rng.integers(-1, 1))
            block.attrs["role"] = ["grid", "", "total", "no_grid", "network", "a\nb"][rng.integers(6)]


def extras(file: h5py.File, rng: Rng) -> None:
    """Much that the contract does not name."""
    group = _any(file, rng, h5py.Group)
    if rng.random() < 0.5:
        for index in range(500):
            group.create_group(f"more {index}")
    else:
        deep = group
        for _ in range(400):
            deep = deep.create_group("d")


STRUCTURAL: tuple[Callable[[h5py.File, Rng], None], ...] = (
    *(attribute_removed, attribute_replaced, attribute_replaced, attribute_odd_type, dataset_replaced),
    *(dataset_replaced, bad_filter, virtual, linked, linked, removed, values, values, scaled, renamed),
    *(snapshots_alike, extras, bomb),
)


def unsign(file: h5py.File, rng: Rng) -> None:
    """Take the checksums away, so that what lies below them is put to the test."""
    for item in _items(file):
        for name in ("ntkspec_digest", "ntkspec_crc32"):
            if name in item.attrs:
                del item.attrs[name]
