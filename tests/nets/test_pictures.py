"""Pictures of many kinds: what is read is what was written, or one line says why not."""

import io
import logging
import struct
import zlib

import numpy as np
import pytest
import tifffile
from imagecodecs import png_encode
from PIL import Image

from ntkspec.errors import UsageError
from ntkspec.nets.image import load_image

RNG = np.random.default_rng(0)
SIDE = 16  # as tifffile wants tiles
CASES = {}  # name: (content, colours (SIDE, SIDE, c), tolerance)


def add(name, content, colours, tolerance=1e-6):
    assert name not in CASES
    CASES[name] = (content, np.asarray(colours, dtype=float).reshape(SIDE, SIDE, -1), tolerance)


def levels(bits, count=1):
    """Random samples that reach both ends of their range: (SIDE, SIDE), or (SIDE, SIDE, count)."""
    samples = RNG.integers(0, 2**bits, (SIDE, SIDE, count), dtype=np.uint64)
    samples[0, 0], samples[-1, -1] = 0, 2**bits - 1
    samples = samples.astype(f"u{next(size for size in (1, 2, 4, 8) if 8 * size >= bits)}")
    return samples[..., 0] if count == 1 else samples


def on_white(samples, white):
    """Colours of samples whose last one is alpha."""
    parts = samples / white
    return parts[..., :-1] * parts[..., -1:] + 1 - parts[..., -1:]


def tiff(samples, photometric="minisblack", **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, photometric=photometric, metadata=None, **options)
    return buffer.getvalue()


def saved(samples, kind, mode=None, **options):
    buffer = io.BytesIO()
    picture = samples if isinstance(samples, Image.Image) else Image.fromarray(samples, mode)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png(samples, *chunks):
    """A PNG, with further chunks behind its header."""
    content = png_encode(samples)
    return content[:33] + b"".join(chunks) + content[33:]


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


TURNS = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
         5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
         7: lambda a: np.rot90(a, -1)[::-1], 8: lambda a: np.rot90(a)}  # fmt: skip
XMP = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
EXIF = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def tiffs():
    for bits in (8, 16, 32, 64):
        grey, rgb, white = levels(bits), levels(bits, 3), 2.0**bits - 1
        add(f"grey-{bits}.tif", tiff(grey), grey / white)
        add(f"white-is-zero-{bits}.tif", tiff(grey, "miniswhite"), 1 - grey / white)
        add(f"rgb-{bits}.tif", tiff(rgb, "rgb", byteorder=">"), rgb / white)
    for bits in (2, 4, 12):
        grey = levels(bits)
        add(f"packed-{bits}.tif", packed_tiff(grey, bits), grey / (2**bits - 1))
    bilevel = levels(1).astype(bool)
    add("bilevel.tif", tiff(bilevel), bilevel)
    for kind in ("f2", "f4", "f8"):
        floats = RNG.random((SIDE, SIDE, 3)).astype(kind)
        add(f"floats-{kind}.tif", tiff(floats, "rgb"), floats)
    signed = (levels(16) // 2).astype("i2")
    add("signed.tif", tiff(signed), signed / 32767)
    samples = levels(16, 3)
    for name, options in {
        "tiles": {"tile": (16, 16)}, "planes": {"planarconfig": "separate"}, "bigtiff": {"bigtiff": True},
        "zlib": {"compression": "zlib", "predictor": True}, "lzw": {"compression": "lzw"},
        "zstd": {"compression": "zstd"}, "strips": {"rowsperstrip": 3},
    }.items():  # fmt: skip
        stored = np.moveaxis(samples, -1, 0) if name == "planes" else samples
        add(f"{name}.tif", tiff(stored, "rgb", **options), samples / 65535)
    for number, turn in TURNS.items():
        content = tiff(samples, "rgb", extratags=[(274, "H", 1, number, True)])
        add(f"orientation-{number}.tif", content, turn(samples) / 65535)
    for bits in (8, 16):
        four, white = levels(bits, 4), 2**bits - 1
        add(f"alpha-{bits}.tif", tiff(four, "rgb", extrasamples=["unassalpha"]), on_white(four, white))
        add(f"spare-{bits}.tif", tiff(four, "rgb", extrasamples=["unspecified"]), four[..., :3] / white)
        four[..., :3] = np.minimum(four[..., :3], four[..., 3:])
        truth = four[..., :3] / white + 1 - four[..., 3:] / white
        add(f"associated-{bits}.tif", tiff(four, "rgb", extrasamples=["assocalpha"]), truth)
    index, table = levels(8), RNG.integers(0, 65536, (256, 3), dtype=np.uint16)
    add("palette.tif", tiff(index, "palette", colormap=table.T), table[index] / 65535)
    add("palette-low-bytes.tif", tiff(index, "palette", colormap=table.T // 256), (table // 256)[index] / 255)
    bilevel = levels(1).astype(bool)
    add("group4.tif", saved(bilevel, "TIFF", compression="group4"), bilevel)
    down, across = np.indices((SIDE, SIDE)) * 10
    smooth = np.dstack([across, down, np.full((SIDE, SIDE), 90)]).astype("u1")
    add("jpeg.tif", saved(smooth, "TIFF", compression="jpeg", quality=100), smooth / 255, 0.05)
    wide = np.zeros((SIDE, SIDE + 6), dtype="u2")
    wide[:, 3:-3] = levels(16)
    add("wide.tif", tiff(wide), wide[:, 3:-3] / 65535)
    add("tall.tif", tiff(wide.T, extratags=[(274, "H", 1, 8, True)]), np.rot90(wide.T)[:, 3:-3] / 65535)


def packed_tiff(samples, bits):
    """A TIFF of one uncompressed strip, each row padded to whole bytes, with tags written out."""
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in samples.tolist()]
    strip = b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)
    tags = {256: SIDE, 257: SIDE, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: SIDE, 279: len(strip)}
    table = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags.items())
    return (
        b"MM\0*" + struct.pack(">I", 8 + len(strip)) + strip + struct.pack(">H", len(tags)) + table + bytes(4)
    )


def pngs():
    for bits in (8, 16):
        white = 2**bits - 1
        grey, two, rgb, four = (levels(bits, count) for count in (1, 2, 3, 4))
        add(f"grey-{bits}.png", png(grey), grey / white)
        add(f"grey-alpha-{bits}.png", png(two), on_white(two, white))
        add(f"rgb-{bits}.png", png(rgb), rgb / white)
        add(f"rgb-alpha-{bits}.png", png(four), on_white(four, white))
        key = chunk(b"tRNS", struct.pack(">H", int(grey[2, 3])))
        add(f"grey-key-{bits}.png", png(grey, key), np.where(grey == grey[2, 3], 1, grey / white))
        rgb[4, 5], rgb[6, 6] = rgb[2, 3], rgb[2, 3] ^ np.array([0, 0, 1], dtype=rgb.dtype)
        key = chunk(b"tRNS", struct.pack(">HHH", *rgb[2, 3].tolist()))
        truth = np.where(np.all(rgb == rgb[2, 3], axis=-1, keepdims=True), 1, rgb / white)
        add(f"rgb-key-{bits}.png", png(rgb, key), truth)
    bilevel = levels(1).astype(bool)
    add("bilevel.png", saved(bilevel, "PNG"), bilevel)
    index, table = levels(2), RNG.integers(0, 256, (4, 3))
    palette = Image.fromarray(index, "P")
    palette.putpalette(table.astype("u1").ravel().tolist())
    add("palette.png", saved(palette, "PNG"), table[index] / 255)
    colours = np.where(index[..., None] == 2, 1, table[index] / 255)
    add("palette-key.png", saved(palette, "PNG", transparency=2), colours)
    samples, long = levels(16, 3), b"x" * 3_000_000
    turned_right = np.rot90(samples, -1) / 65535
    for name, extra, truth in (
        ("long-text", chunk(b"zTXt", b"workflow\0\0" + zlib.compress(long)), samples / 65535),
        ("damaged-text", chunk(b"tEXt", b"a\0b")[:-1] + b"\0", samples / 65535),
        ("gamma", chunk(b"gAMA", struct.pack(">I", 100000)), samples / 65535),
        ("significant-bits", chunk(b"sBIT", b"\x05\x06\x05"), samples / 65535),
        ("exif", chunk(b"eXIf", EXIF), turned_right),
        ("damaged-exif", chunk(b"eXIf", b"garbage!"), samples / 65535),
        ("xmp", chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP), turned_right),
    ):
        add(f"{name}.png", png(samples, extra), truth)


def others():
    grey, two, rgb, four, deep = levels(8), levels(8, 2), levels(8, 3), levels(8, 4), levels(16)
    for white in (15, 255, 65535):
        samples = RNG.integers(0, white + 1, (SIDE, SIDE))
        content = (
            b"P5 %d %d %d\n" % (SIDE, SIDE, white) + samples.astype(">u2" if white > 255 else "u1").tobytes()
        )
        add(f"{white}.pgm", content, samples / white, 1e-5)
    floats = RNG.random((SIDE, SIDE)).astype("<f4")
    add("floats.pfm", b"Pf\n%d %d\n-1.0\n" % (SIDE, SIDE) + floats[::-1].tobytes(), floats)
    add("rgb.bmp", saved(rgb, "BMP"), rgb / 255)
    add("grey.bmp", saved(grey, "BMP"), grey / 255)
    add("rgba.webp", saved(four, "WEBP", lossless=True, exact=True), on_white(four, 255))
    add("damaged-exif.webp", saved(rgb, "WEBP", lossless=True, exif=b"Exif\0\0garbage!"), rgb / 255)
    add("grey-alpha.jp2", saved(two, "JPEG2000", "LA"), on_white(two, 255))
    add("grey-16.jp2", saved(deep, "JPEG2000"), deep / 65535)
    ink = Image.new("CMYK", (SIDE, SIDE), (10, 100, 200, 50))
    truth = np.ones((SIDE, SIDE, 3)) * (1 - np.array([10, 100, 200]) / 255) * (205 / 255)
    add("cmyk.jpg", saved(ink, "JPEG", quality=100), truth, 0.01)
    index, table = levels(2), np.arange(0, 120, 10).reshape(4, 3)
    gif = Image.fromarray(index, "P")
    gif.putpalette(table.ravel().tolist())
    content = saved(gif, "GIF", transparency=2, save_all=True, append_images=[Image.new("P", (SIDE, SIDE))])
    add("animated.gif", content, np.where(index[..., None] == 2, 1, table[index] / 255))


for make in (tiffs, pngs, others):
    make()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
def test_what_is_read_is_what_was_written(tmp_path, name):
    content, colours, tolerance = CASES[name]
    (tmp_path / name).write_bytes(content)
    task = load_image(tmp_path / name, SIDE)
    assert task.channels == colours.shape[-1]
    assert np.abs(task.image(task.values) - colours).max() <= tolerance
    spare = ["samples beside its colours (1 a pixel): left out"] if name.startswith("spare") else []
    assert [note.removeprefix(f"{tmp_path / name} has ") for note in task.notes] == spare


def test_grey_is_the_luminance_of_what_was_written(tmp_path):
    samples = levels(16, 3)
    (tmp_path / "p.png").write_bytes(png(samples))
    task = load_image(tmp_path / "p.png", SIDE, grey=True)
    assert task.values[:, 0] == pytest.approx((samples / 65535 @ [0.299, 0.587, 0.114]).ravel(), abs=1e-6)


UNKNOWN = {
    "beyond-16-bits": np.linspace(1e5, 9e5, SIDE * SIDE).astype("u4"),
    "negative": np.linspace(-300, 70, SIDE * SIDE).astype("i2"),
    "bright": np.linspace(0, 12, SIDE * SIDE).astype("f8"),
    "bright-colours": np.linspace(-1, 12, SIDE * SIDE * 3).astype("f2"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_numbers_of_an_unknown_scale_are_stretched_with_a_note(tmp_path, name):
    samples = UNKNOWN[name].reshape(SIDE, SIDE, -1)
    grey = samples.shape[2] == 1
    (tmp_path / "p.tif").write_bytes(
        tiff(samples[..., 0] if grey else samples, "minisblack" if grey else "rgb")
    )
    task = load_image(tmp_path / "p.tif", SIDE)
    low, high = float(samples.min()), float(samples.max())
    truth = (samples.astype(float) - low) / (high - low)
    assert np.abs(task.image(task.values) - truth).max() < 1e-6
    assert f"values from {low:g} to {high:g}: rescaled" in task.notes[0]


RAMP = np.linspace(0, 199, SIDE * SIDE).astype(int).reshape(SIDE, SIDE)
GUESSED, DIM = "taken for values from 0 to {:g}", "no value above {:g} where {:g} is possible"
SMALL = {  # name: content, colours, what the note says
    "u4.tif": (tiff(RAMP.astype("u4")), RAMP / 255, GUESSED.format(255)),
    "i8.tif": (tiff(RAMP.astype("i8")), RAMP / 255, GUESSED.format(255)),
    "inverted.tif": (tiff(RAMP.astype("u4"), "miniswhite"), 1 - RAMP / 255, GUESSED.format(255)),
    "256.tif": (tiff((RAMP + 57).astype("u4")), (RAMP + 57) / 65535, GUESSED.format(65535)),
    "pillow-i.tif": (saved(Image.fromarray(RAMP.astype("i4")), "TIFF"), RAMP / 255, GUESSED.format(255)),
    "u2.tif": (tiff(RAMP.astype("u2")), RAMP / 65535, DIM.format(199, 65535)),
    "deep.pgm": (b"P5 %d %d 65535\n" % (SIDE, SIDE) + RAMP.astype(">u2").tobytes(), RAMP / 65535,
                 DIM.format(199, 65535)),
    "deep.png": (png(RAMP.astype("u2")), RAMP / 65535, DIM.format(199, 65535)),
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_small_values_in_large_integers_are_read_with_a_note(tmp_path, name):
    content, colours, words = SMALL[name]
    (tmp_path / name).write_bytes(content)
    task = load_image(tmp_path / name, SIDE)
    assert np.abs(task.image(task.values)[..., 0] - colours).max() < 1e-6
    assert words in task.notes[0]
    assert len(task.notes) == 1


def test_of_several_pages_the_first_that_is_the_picture_is_read(tmp_path):
    thumbnail, picture, other = (levels(8) for _ in range(3))
    with tifffile.TiffWriter(tmp_path / "p.tif") as file:
        file.write(thumbnail[:4, :4], subfiletype=1, photometric="minisblack", metadata=None)
        file.write(picture, photometric="minisblack", metadata=None)
        file.write(other, photometric="minisblack", metadata=None)
    task = load_image(tmp_path / "p.tif", SIDE)
    assert task.notes == (f"{tmp_path / 'p.tif'} has more than one page: the first is read",)
    assert np.abs(task.image(task.values)[..., 0] - picture / 255).max() < 1e-6


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (tiff(np.stack([levels(8)] * 2), compression="jpeg"), "has more than one page: the first is read"),
        (tiff(levels(8), subfiletype=1), "has only a thumbnail or a mask: that is read"),
    ],
)
def test_what_else_could_be_meant_is_noted(tmp_path, content, note):
    (tmp_path / "p.tif").write_bytes(content)
    assert load_image(tmp_path / "p.tif", SIDE).notes == (f"{tmp_path / 'p.tif'} {note}",)


def test_libraries_print_nothing(tmp_path, capfd, recwarn, monkeypatch):
    """libpng warns of profiles that it does not like, as many programs write them, Pillow of large ones."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SIDE * SIDE - 1)
    monkeypatch.setattr(logging.root, "handlers", [])  # without those of pytest
    (tmp_path / "p.png").write_bytes(png(levels(8), chunk(b"iCCP", b"x\0\0" + zlib.compress(b"junk"))))
    assert load_image(tmp_path / "p.png", SIDE).notes == ()
    assert capfd.readouterr() == ("", "")
    assert not recwarn


def without(content, tag, value):
    """Change the number that a tag of a TIFF holds."""
    buffer = io.BytesIO(content)
    with tifffile.TiffFile(buffer, mode="r+b") as file:
        file.pages[0].tags[tag].overwrite(value)
    return buffer.getvalue()


def fewer(content, count):
    """Cut the lists of a TIFF's strips to `count`."""
    content = bytearray(content)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        for tag in (273, 279):
            struct.pack_into("<I", content, file.pages[0].tags[tag].offset + 4, count)
    return bytes(content)


GREY, COLOURS = tiff(levels(8)), tiff(levels(8, 3), "rgb")
REFUSED = {
    "complex.tif": (tiff(np.zeros((SIDE, SIDE), dtype="c8")), "COMPLEX"),
    "mosaic.tif": (without(GREY, 262, 32803), "CFA"),
    "inks.tif": (tiff(levels(8, 4), "separated"), "SEPARATED"),
    "nan.tif": (tiff(np.full((SIDE, SIDE, 3), np.nan, dtype="f4"), "rgb"), "NaN"),
    "few.tif": (without(GREY, 262, 2), "1 samples a pixel"),
    "no-palette.tif": (without(GREY, 262, 3), "without a palette"),
    "large.tif": (without(without(GREY, 256, 60_000), 257, 60_000), "too large"),
    "large.png": (png(levels(8))[:16] + struct.pack(">II", 2**16, 2**16) + png(levels(8))[24:], "too large"),
    "cut.tif": (GREY[:-20], "parts missing"),
    "short.tif": (without(GREY, 279, 20), "parts missing"),
    "empty.tif": (without(tiff(levels(8), compression="zlib"), 279, 0), "parts missing"),
    "few-zlib.tif": (fewer(tiff(levels(8), compression="zlib", rowsperstrip=4), 3), "parts missing"),
    "short-zlib.tif": (without(tiff(levels(8), compression="zlib"), 279, 20), "damaged|corrupted|zlib"),
    "volume.tif": (tiff(np.zeros((2, SIDE, SIDE), "u1"), volumetric=True), "axes ZYX"),
    "some.fits": (b"SIMPLE  =                    T".ljust(2880), "FITS"),
    "lab.tif": (saved(Image.new("LAB", (SIDE, SIDE)), "TIFF"), "CIELAB"),
    "cut.png": (png(levels(16))[:-60], "PNG|damaged|read"),
    "key.png": (png(levels(8), chunk(b"tRNS", b"\0\1")[:-1] + b"?"), "transparency is damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_right_answer_is_refused_in_one_line(tmp_path, name):
    content, words = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        load_image(tmp_path / name, SIDE)
    assert str(caught.value).startswith(f"{tmp_path / name}: expected a readable picture, got ")
    assert "\n" not in str(caught.value)
