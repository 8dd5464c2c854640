"""Pictures in every layout: what is read is what was written."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from picture_files import CODECS, LZW, NONE, chunk, png, tiff
from PIL import Image
from skimage.color import lab2rgb

from ntkspec.errors import UsageError
from ntkspec.nets.image import load_image

RNG = np.random.default_rng(0)
SIDE = 9  # no multiple of 8, so that rows end within a byte and tiles beyond the edge
MINISWHITE, MINISBLACK, RGB, PALETTE, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
CASES = {}  # name: (content, colours (SIDE, SIDE, c), tolerance)


def add(name, content, colours, tolerance=1e-6):
    assert name not in CASES
    colours = np.asarray(colours, dtype=float)
    CASES[name] = (content, colours.reshape(SIDE, SIDE, -1), tolerance)


def levels(bits, count=1):
    """Random samples that reach both ends of their range."""
    samples = RNG.integers(0, 2**bits, (SIDE, SIDE, count), dtype=np.uint64)
    samples[0, 0], samples[-1, -1] = 0, 2**bits - 1
    return samples.astype(f"u{next(size for size in (1, 2, 4, 8) if 8 * size >= bits)}")


def on_white(colours, alpha):
    return colours * alpha + 1 - alpha


def tiffs():
    for bits in (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 24, 32, 64):
        white = 2.0**bits - 1
        for number, count in ((MINISBLACK, 1), (MINISWHITE, 1), (RGB, 3)):
            samples = levels(bits, count)
            order = ">" if bits % 4 else "<"
            truth = 1 - samples / white if number == MINISWHITE else samples / white
            add(f"integers-{bits}-{number}.tif", tiff(samples, number, bits, order=order), truth)
    for bits in (16, 32, 64):
        for order in "<>":
            for count in (1, 3):
                samples = RNG.random((SIDE, SIDE, count)).astype(f"f{bits // 8}")
                number = MINISBLACK if count == 1 else RGB
                name = f"{bits}-{'le' if order == '<' else 'be'}-{count}.tif"
                add(f"floats-{name}", tiff(samples, number, order=order), samples)
                add(
                    f"predicted-floats-{name}",
                    tiff(samples, number, order=order, predictor=3, codec=LZW),
                    samples,
                )
                samples = levels(bits, count)
                content = tiff(samples, number, order=order, predictor=2, codec=LZW)
                add(f"predicted-{name}", content, samples / (2.0**bits - 1))
    samples = levels(16, 3)
    for codec in CODECS:
        for tile in (None, 16, 4):
            for planar in (1, 2):
                content = tiff(samples, RGB, codec=codec, tile=tile, planar=planar, order="<>"[planar - 1])
                add(f"layout-{codec}-{tile}-{planar}.tif", content, samples / 65535)
    for bits, codec in ((1, NONE), (4, NONE), (8, NONE), (16, NONE), (8, LZW), (16, LZW)):
        samples = levels(bits)
        add(
            f"fill-order-{bits}-{codec}.tif",
            tiff(samples, MINISBLACK, bits, fill=2, codec=codec),
            samples / (2**bits - 1),
        )


def tiffs_with_alpha():
    for bits in (8, 16):
        white = 2**bits - 1
        for number, count in ((MINISBLACK, 1), (RGB, 3)):
            samples = levels(bits, count + 1)
            colours, alpha = samples[..., :-1] / white, samples[..., -1:] / white
            name = f"{bits}-{count}.tif"
            add(f"unassociated-{name}", tiff(samples, number, extra=[2]), on_white(colours, alpha))
            add(f"planar-alpha-{name}", tiff(samples, number, extra=[2], planar=2), on_white(colours, alpha))
            add(f"unspecified-{name}", tiff(samples, number, extra=[0]), colours)
            more = np.concatenate([samples, samples[..., :1]], axis=-1)
            add(f"alpha-and-more-{name}", tiff(more, number, extra=[2, 0]), on_white(colours, alpha))
            samples[..., :-1] = np.minimum(samples[..., :-1], samples[..., -1:])
            truth = samples[..., :-1] / white + 1 - samples[..., -1:] / white
            add(f"associated-{name}", tiff(samples, number, extra=[1]), truth)
    samples = levels(16, 4)
    add(
        "undeclared-alpha.tif",
        tiff(samples, RGB),
        on_white(samples[..., :3] / 65535, samples[..., 3:] / 65535),
    )
    samples = RNG.random((SIDE, SIDE, 4)).astype("f4")
    add("float-alpha.tif", tiff(samples, RGB, extra=[2]), on_white(samples[..., :3], samples[..., 3:]))
    samples = levels(8, 2)
    truth = on_white(1 - samples[..., :1] / 255, samples[..., 1:] / 255)
    add("white-is-zero-alpha.tif", tiff(samples, MINISWHITE, extra=[2]), truth)


def tiffs_in_other_colours():
    for bits in (1, 2, 4, 8):
        for white in (255, 65535):
            index, table = levels(bits), RNG.integers(0, white + 1, (2**bits, 3))
            content = tiff(index, PALETTE, bits, tags={320: table.T.ravel().tolist()})
            table[0] = white
            content = tiff(index, PALETTE, bits, tags={320: table.T.ravel().tolist()})
            add(f"palette-{bits}-{white}.tif", content, table[index[..., 0]] / white)
    index, table = levels(8, 2), RNG.integers(0, 65536, (256, 3))
    content = tiff(index, PALETTE, extra=[2], tags={320: table.T.ravel().tolist()})
    add("palette-alpha.tif", content, on_white(table[index[..., 0]] / 65535, index[..., 1:] / 255))
    for bits in (8, 16):
        ink = levels(bits, 4)
        paper = 1 - ink / (2**bits - 1)
        for planar in (1, 2):
            add(f"cmyk-{bits}-{planar}.tif", tiff(ink, CMYK, planar=planar), paper[..., :3] * paper[..., 3:])
        lightness = RNG.integers(0, 2**bits, (SIDE, SIDE))
        signed = RNG.integers(-(2 ** (bits - 3)), 2 ** (bits - 3), (SIDE, SIDE, 2))
        step = 2 ** (bits - 8)
        for number, top in ((CIELAB, 2**bits - 1), (ICCLAB, 255 * step)):
            lab = np.dstack([np.minimum(lightness, top) * 100 / top, signed / step])
            stored = signed % 2**bits if number == CIELAB else signed + 128 * step
            samples = np.dstack([np.minimum(lightness, top), stored]).astype(f"u{bits // 8}")
            add(f"lab-{bits}-{number}.tif", tiff(samples, number), np.clip(lab2rgb(lab), 0, 1), 1e-5)
    for across, down in ((1, 1), (2, 1), (2, 2), (4, 2)):
        ycbcr_tiff(across, down, (0, 255, 128, 255, 128, 255))
    ycbcr_tiff(2, 2, (15, 235, 128, 240, 128, 240))


def ycbcr_tiff(across, down, reference):
    """Units of across x down luminances and one pair of chrominances, in one strip."""
    units = (-(-SIDE // down), -(-SIDE // across))
    y = RNG.integers(16, 236, (units[0] * down, units[1] * across))
    chroma = RNG.integers(100, 156, (*units, 2))
    data = bytearray()
    for i in range(units[0]):
        for j in range(units[1]):
            data += y[i * down : (i + 1) * down, j * across : (j + 1) * across].astype("u1").tobytes()
            data += chroma[i, j].astype("u1").tobytes()
    full = np.dstack([y, chroma.repeat(down, axis=0).repeat(across, axis=1)])[:SIDE, :SIDE].astype(float)
    low, high = np.array(reference[::2]), np.array(reference[1::2])
    luma, cb, cr = np.moveaxis((full - low) / (high - low) * (255, 127, 127), -1, 0)
    rgb = np.dstack([luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb])
    tags = {530: [across, down], 532: list(reference)}
    content = tiff(full.astype("u1"), YCBCR, data=[bytes(data)], rows=SIDE, tags=tags)
    add(f"ycbcr-{across}-{down}-{reference[0]}.tif", content, np.clip(rgb / 255, 0, 1), 1e-5)


def odd_tiffs():
    turns = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
             5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
             7: lambda a: np.rot90(a, -1)[::-1], 8: lambda a: np.rot90(a)}  # fmt: skip
    for orientation, turn in turns.items():
        samples = levels(16, 3)
        content = tiff(samples, RGB, tags={274: [orientation]})
        add(f"orientation-{orientation}.tif", content, turn(samples) / 65535)
    for order in "<>":
        samples = levels(16)
        add(
            f"big-{ord(order)}.tif",
            tiff(samples, MINISBLACK, order=order, big=True, codec=LZW),
            samples / 65535,
        )
    samples = levels(8, 3)
    add("thumbnail-first.tif", tiff(samples, RGB, before=[{254: [1], 256: [2], 257: [2]}]), samples / 255)
    add("mask-first.tif", tiff(samples, RGB, before=[{254: [4]}]), samples / 255)
    for bits in (8, 16):
        samples = (levels(bits) // 2).astype(f"i{bits // 8}")
        add(f"signed-{bits}.tif", tiff(samples, MINISBLACK), samples / (2 ** (bits - 1) - 1))
    samples = levels(16).astype("i4")
    add("sixteen-in-32-signed.tif", tiff(samples, MINISBLACK), samples / 65535)
    add("sixteen-in-32.tif", tiff(samples.astype("u4"), MINISBLACK), samples / 65535)
    crop = np.zeros((SIDE, SIDE + 6), dtype="u2")
    crop[:, 3:-3] = levels(16)[..., 0]
    add("wide.tif", tiff(crop, MINISWHITE), 1 - crop[:, 3:-3] / 65535)
    add("tall.tif", tiff(crop.T, MINISBLACK, tags={274: [8]}), np.rot90(crop.T)[:, 3:-3] / 65535)


def tiffs_of_other_writers():
    grey, colours = levels(16)[..., 0], levels(16, 3)
    for name, options in {
        "tiles": {"tile": (16, 16)},
        "zlib": {"compression": "zlib", "predictor": True},
        "big-endian": {"byteorder": ">"},
        "bigtiff": {"bigtiff": True},
        "imagej": {"imagej": True},
    }.items():
        for samples, kind in ((grey, "minisblack"), (colours, "rgb")):
            if name != "imagej" or kind == "minisblack":
                buffer = io.BytesIO()
                tifffile.imwrite(buffer, samples, photometric=kind, **options)
                add(f"tifffile-{name}-{kind}.tif", buffer.getvalue(), samples / 65535)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.moveaxis(colours, -1, 0), photometric="rgb", planarconfig="separate")
    add("tifffile-planes.tif", buffer.getvalue(), colours / 65535)
    bilevel = levels(1)[..., 0].astype(bool)
    for codec in ("group3", "group4", "tiff_ccitt", "packbits", "tiff_lzw"):
        add(f"pillow-{codec}-bilevel.tif", saved(bilevel, "TIFF", compression=codec), bilevel)
    for codec in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "zstd"):
        add(f"pillow-{codec}-grey.tif", saved(grey, "TIFF", compression=codec), grey / 65535)
    down, across = np.indices((SIDE, SIDE)) * 20
    smooth = np.dstack([across, down, np.full((SIDE, SIDE), 90)])
    content = saved(smooth.astype("u1"), "TIFF", compression="jpeg", quality=100)
    add("pillow-jpeg.tif", content, smooth / 255, 0.05)


def saved(samples, kind, mode=None, **options):
    buffer = io.BytesIO()
    picture = samples if isinstance(samples, Image.Image) else Image.fromarray(np.squeeze(samples), mode)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def pngs():
    for interlaced in (False, True):
        end = "-interlaced.png" if interlaced else ".png"
        for bits in (1, 2, 4, 8, 16):
            white, samples = 2**bits - 1, levels(bits)
            add(f"grey-{bits}{end}", png(samples, 0, bits, interlaced=interlaced), samples / white)
            key = struct.pack(">H", int(samples[2, 3, 0]))
            truth = np.where(samples == samples[2, 3, 0], 1, samples / white)
            content = png(samples, 0, bits, chunk(b"tRNS", key), interlaced=interlaced)
            add(f"grey-key-{bits}{end}", content, truth)
        for bits in (1, 2, 4, 8):
            index, table = levels(bits), RNG.integers(0, 256, (2**bits, 3))
            palette = chunk(b"PLTE", table.astype("u1").tobytes())
            content = png(index, 3, bits, palette, interlaced=interlaced)
            add(f"palette-{bits}{end}", content, table[index[..., 0]] / 255)
            alpha = RNG.integers(0, 256, (2**bits, 1))
            alpha[2 ** (bits - 1) :] = 255  # those that the shorter tRNS leaves out
            short = chunk(b"tRNS", alpha[: 2 ** (bits - 1)].astype("u1").tobytes())
            truth = on_white(table / 255, alpha / 255)[index[..., 0]]
            add(
                f"palette-alpha-{bits}{end}",
                png(index, 3, bits, palette, short, interlaced=interlaced),
                truth,
            )
        for bits in (8, 16):
            white, samples = 2**bits - 1, levels(bits, 3)
            add(f"rgb-{bits}{end}", png(samples, 2, bits, interlaced=interlaced), samples / white)
            samples[4, 5] = samples[2, 3]
            samples[6, 6] = samples[2, 3] ^ np.array([0, 0, 1], dtype=samples.dtype)  # not the same colour
            key = struct.pack(">HHH", *samples[2, 3].tolist())
            truth = np.where(np.all(samples == samples[2, 3], axis=-1, keepdims=True), 1, samples / white)
            content = png(samples, 2, bits, chunk(b"tRNS", key), interlaced=interlaced)
            add(f"rgb-key-{bits}{end}", content, truth)
            for kind, count in ((4, 1), (6, 3)):
                samples = levels(bits, count + 1)
                truth = on_white(samples[..., :-1] / white, samples[..., -1:] / white)
                content = png(samples, kind, bits, interlaced=interlaced)
                add(f"alpha-{kind}-{bits}{end}", content, truth)


def damaged(content, place, by=1):
    place %= len(content)
    return content[:place] + bytes([content[place] ^ by]) + content[place + 1 :]


def odd_pngs():
    samples, long = levels(16, 3), b"x" * 3_000_000
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    animation = chunk(b"acTL", struct.pack(">II", 1, 0))
    xmp = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    for name, extra in {
        "ztxt": [chunk(b"zTXt", b"workflow\0\0" + zlib.compress(long))],
        "itxt": [chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(long))],
        "xmp": [chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + long)],
        "iccp": [chunk(b"iCCP", b"profile\0\0" + zlib.compress(long))],
        "many-texts": [chunk(b"zTXt", b"a\0\0" + zlib.compress(long[:900_000]))] * 80,
        "damaged-text": [chunk(b"tEXt", b"a\0b")[:-1] + b"\0"],
        "gamma": [chunk(b"gAMA", struct.pack(">I", 100000))],
        "significant-bits": [chunk(b"sBIT", b"\x05\x06\x05")],
        "background": [chunk(b"bKGD", struct.pack(">HHH", 1, 2, 3))],
        "animated": [animation, chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, SIDE, SIDE, 0, 0, 1, 9, 0, 0))],
        "default-image": [animation],
    }.items():
        add(f"rgb-{name}.png", png(samples, 2, 16, *extra), samples / 65535)
    turned = np.rot90(samples, -1) / 65535
    add("exif.png", png(samples, 2, 16, chunk(b"eXIf", exif)), turned)
    xmp_chunk = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    add("xmp.png", png(samples, 2, 16, xmp_chunk), turned)
    for name, garbage in {
        "text": b"garbage!",
        "zeros": bytes(50),
        "short": b"MM\0*",
        "cut": exif[:-8],
    }.items():
        add(f"damaged-exif-{name}.png", png(samples, 2, 16, chunk(b"eXIf", garbage)), samples / 65535)
        eight = levels(8, 3)
        content = saved(eight, "WEBP", lossless=True, exif=b"Exif\0\0" + garbage)
        add(f"damaged-exif-{name}.webp", content, eight / 255)
    add("damaged-exif-xmp.png", png(samples, 2, 16, chunk(b"eXIf", bytes(50)), xmp_chunk), turned)
    broken = damaged(chunk(b"eXIf", exif), -1)
    add("exif-checksum.png", png(samples, 2, 16, broken), samples / 65535)
    two = levels(16, 2)
    truth = on_white(two[..., :1] / 65535, two[..., 1:] / 65535)
    add("grey-alpha-exif.png", png(two, 4, 16, chunk(b"eXIf", exif)), np.rot90(truth, -1))


def others():
    for white in (1, 15, 100, 255, 1000, 65535):
        for count in (1, 3):
            samples = RNG.integers(0, white + 1, (SIDE, SIDE, count))
            header = b"P%d %d %d %d\n" % (5 if count == 1 else 6, SIDE, SIDE, white)
            tolerance = 1e-5 if white in (1, 15, 255) or (white > 255 and count == 1) else 1 / 500
            content = header + samples.astype(">u2" if white > 255 else "u1").tobytes()
            add(f"binary-{white}-{count}.pnm", content, samples / white, tolerance)
            text = b" ".join(b"%d" % value for value in samples.ravel())
            add(f"plain-{white}-{count}.pnm", header.replace(b"P5", b"P2").replace(b"P6", b"P3") + text,
                samples / white, tolerance)  # fmt: skip
    bilevel = levels(1)[..., 0]
    add("bits.pbm", b"P4 %d %d\n" % (SIDE, SIDE) + np.packbits(bilevel, axis=1).tobytes(), 1 - bilevel)
    floats = RNG.random((SIDE, SIDE)).astype("<f4")
    add("floats.pfm", b"Pf\n%d %d\n-1.0\n" % (SIDE, SIDE) + floats[::-1].tobytes(), floats)
    grey, two, colours, four = (levels(8, count) for count in (1, 2, 3, 4))
    for kind, options in {
        "BMP": {},
        "TGA": {},
        "WEBP": {"lossless": True},
        "JPEG2000": {},
        "PCX": {},
    }.items():
        add(f"rgb.{kind.lower()}", saved(colours, kind, **options), colours / 255)
    for kind in ("BMP", "TGA", "JPEG2000", "PCX"):
        add(f"grey.{kind.lower()}", saved(grey, kind), grey / 255)
    for kind, options in {"TGA": {}, "WEBP": {"lossless": True, "exact": True}, "JPEG2000": {}}.items():
        add(
            f"rgba.{kind.lower()}",
            saved(four, kind, **options),
            on_white(four[..., :3] / 255, four[..., 3:] / 255),
        )
    add("grey-alpha.jp2", saved(two, "JPEG2000", "LA"), on_white(two[..., :1] / 255, two[..., 1:] / 255))
    deep = levels(16)
    add("grey-16.jp2", saved(deep, "JPEG2000"), deep / 65535)
    ink = Image.new("CMYK", (SIDE, SIDE), (10, 100, 200, 50))
    truth = np.ones((SIDE, SIDE, 3)) * (1 - np.array([10, 100, 200]) / 255) * (205 / 255)
    add("cmyk.jpg", saved(ink, "JPEG", quality=100), truth, 0.01)
    gif = Image.fromarray(levels(2)[..., 0], "P")
    gif.putpalette(range(0, 120, 10))
    table = on_white(np.arange(0, 120, 10).reshape(4, 3) / 255, np.array([[1], [1], [0], [1]]))
    add("grey-key.gif", saved(grey, "GIF", transparency=int(grey[2, 3, 0])),
        np.where(grey == grey[2, 3, 0], 1, grey / 255).repeat(3, axis=-1))  # fmt: skip
    content = saved(gif, "GIF", transparency=2, save_all=True, append_images=[Image.new("P", (SIDE, SIDE))])
    add("animated.gif", content, table[np.asarray(gif)])


def photoshop_and_fits():
    def psd(samples, mode):
        header = b"8BPS" + struct.pack(">H6xHIIHH", 1, samples.shape[2], SIDE, SIDE, 8, mode)
        return header + bytes(14) + np.moveaxis(samples, -1, 0).tobytes()

    def fits(samples, bits, *cards):
        start = ["SIMPLE  =                    T", f"BITPIX  = {bits}", "NAXIS   = 2 / axes"]
        header = [*start, f"NAXIS1  = {SIDE}", f"NAXIS2  = {SIDE}", *cards, "END"]
        text = "".join(card.ljust(80) for card in header).encode().ljust(2880)
        return text + samples[::-1].tobytes().ljust(2880, b"\0")

    lab, rgb, ink = levels(8, 3), levels(8, 3), levels(8, 4)
    lab = np.dstack([lab[..., :1] // 2 + 80, lab[..., 1:] // 4 + 96])  # colours that a screen can show
    truth = lab2rgb(np.dstack([lab[..., 0] / 2.55, lab[..., 1:] - 128.0]))
    add("lab.psd", psd(lab, 9), np.clip(truth, 0, 1), 1e-5)
    add("rgb.psd", psd(rgb, 3), rgb / 255)
    add("cmyk.psd", psd(ink, 4), ink[..., :3] / 255 * (ink[..., 3:] / 255), 1 / 500)
    deep = levels(16)[..., 0]
    shifted = (deep.astype(int) - 32768).astype(">i2")
    add("unsigned.fits", fits(shifted, 16, "BZERO   = 32768", "BSCALE  = 1.0"), deep / 65535)
    add("scaled.fits", fits(shifted, 16, "BZERO   = 0.5", "BSCALE  = 1.52587890625D-5"), deep / 65536)
    add("signed.fits", fits((deep // 2).astype(">i2"), 16), deep // 2 / 32767)
    floats = RNG.random((SIDE, SIDE)).astype(">f4")
    add("floats.fits", fits(floats, -32), floats)


for make in (tiffs, tiffs_with_alpha, tiffs_in_other_colours, odd_tiffs, tiffs_of_other_writers):
    make()
for make in (pngs, odd_pngs, others, photoshop_and_fits):
    make()


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_is_what_was_written(tmp_path, name):
    content, colours, tolerance = CASES[name]
    (tmp_path / name).write_bytes(content)
    task = load_image(tmp_path / name, SIDE)
    assert task.channels == colours.shape[-1]
    assert np.abs(task.image(task.values) - colours).max() <= tolerance
    notes = [note.removeprefix(f"{tmp_path / name} has ") for note in task.notes]
    if name.startswith(("unspecified", "alpha-and-more")):
        assert notes == ["samples beside its colours (1 a pixel): left out"]
    elif name.startswith("sixteen-in-32"):
        assert notes == ["integers of 32 bits, none above 65535: taken for values from 0 to 65535"]
    else:
        assert notes == []


def test_grey_is_the_luminance_of_what_was_written(tmp_path):
    samples = levels(16, 3)
    (tmp_path / "p.png").write_bytes(png(samples, 2, 16))
    task = load_image(tmp_path / "p.png", SIDE, grey=True)
    assert task.values[:, 0] == pytest.approx((samples / 65535 @ [0.299, 0.587, 0.114]).ravel(), abs=1e-6)


UNKNOWN = {
    "beyond-16-bits": np.linspace(1e5, 9e5, SIDE * SIDE).astype("u4"),
    "beyond-16-bits-signed": np.linspace(1e5, 9e5, SIDE * SIDE).astype("i4"),
    "negative": np.linspace(-300, 70, SIDE * SIDE).astype("i2"),
    "bright": np.linspace(0, 12, SIDE * SIDE).astype("f8"),
    "bright-colours": np.linspace(-1, 12, SIDE * SIDE * 3).astype("f2"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_numbers_of_an_unknown_scale_are_stretched_with_a_note(tmp_path, name):
    samples = UNKNOWN[name].reshape(SIDE, SIDE, -1)
    (tmp_path / "p.tif").write_bytes(tiff(samples, RGB if samples.shape[2] == 3 else MINISBLACK))
    task = load_image(tmp_path / "p.tif", SIDE)
    low, high = float(samples.min()), float(samples.max())
    truth = (samples.astype(float) - low) / (high - low)
    assert np.abs(task.image(task.values) - truth).max() < 1e-6
    assert f"values from {low:g} to {high:g}: rescaled" in task.notes[0]


def pgm(samples):
    """A PGM that says of itself that 65535 is white."""
    return b"P5 %d %d 65535\n" % (SIDE, SIDE) + samples.astype(">u2").tobytes()


def fits_of(samples):
    header = ["SIMPLE  =                    T", "BITPIX  = 32", "NAXIS   = 2"]
    header += [f"NAXIS1  = {SIDE}", f"NAXIS2  = {SIDE}", "END"]
    text = "".join(card.ljust(80) for card in header).encode().ljust(2880)
    return text + samples[::-1].astype(">i4").tobytes()


RAMP = np.linspace(0, 199, SIDE * SIDE).astype(int).reshape(SIDE, SIDE)
GUESSED, DIM = "taken for values from 0 to {:g}", "no value above {:g} where {:g} is possible"
SMALL = {  # name: content, colours, what the note says
    "u4.tif": (tiff(RAMP.astype("u4"), MINISBLACK), RAMP / 255, GUESSED.format(255)),
    "i8.tif": (tiff(RAMP.astype("i8"), MINISBLACK), RAMP / 255, GUESSED.format(255)),
    "inverted.tif": (tiff(RAMP.astype("u4"), MINISWHITE), 1 - RAMP / 255, GUESSED.format(255)),
    "256.tif": (tiff((RAMP + 57).astype("u4"), MINISBLACK), (RAMP + 57) / 65535, GUESSED.format(65535)),
    "i.fits": (fits_of(RAMP), RAMP / 255, GUESSED.format(255)),
    "pillow-i.tif": (saved(Image.fromarray(RAMP.astype("i4")), "TIFF"), RAMP / 255, GUESSED.format(255)),
    "u2.tif": (tiff(RAMP.astype("u2"), MINISBLACK), RAMP / 65535, DIM.format(199, 65535)),
    "24.tif": (tiff(RAMP.astype("u4"), MINISBLACK, 24), RAMP / (2**24 - 1), DIM.format(199, 2**24 - 1)),
    "deep.pgm": (pgm(RAMP), RAMP / 65535, DIM.format(199, 65535)),
    "deep.png": (png(RAMP.astype("u2"), 0, 16), RAMP / 65535, DIM.format(199, 65535)),
    "alpha.tif": (
        tiff(np.dstack([RAMP, np.full_like(RAMP, 65535)]).astype("u4"), MINISBLACK, extra=[2]),
        RAMP / 65535,
        GUESSED.format(65535),
    ),
    "inks.tif": (
        tiff(np.dstack([RAMP, RAMP, RAMP, 0 * RAMP]).astype("u4"), CMYK),
        (1 - RAMP / 255)[..., None].repeat(3, axis=-1),
        GUESSED.format(255),
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_values_in_large_integers_are_read_with_a_note(tmp_path, name):
    content, colours, words = SMALL[name]
    (tmp_path / name).write_bytes(content)
    task = load_image(tmp_path / name, SIDE)
    truth = colours.reshape(SIDE, SIDE, -1)
    assert np.abs(task.image(task.values) - truth).max() < 1e-6
    assert words in task.notes[0]
    assert len(task.notes) == 1


def test_strips_that_are_left_out_are_noted(tmp_path):
    samples = levels(8)
    strips = [samples[:3].tobytes(), b"", samples[6:].tobytes()]
    (tmp_path / "p.tif").write_bytes(tiff(samples, MINISBLACK, data=strips))
    task = load_image(tmp_path / "p.tif", SIDE)
    samples[3:6] = 0
    assert np.abs(task.image(task.values) - samples / 255).max() < 1e-6
    assert task.notes == (f"{tmp_path / 'p.tif'} lacks 1 of its 3 strips or tiles: taken for zeros",)


def test_other_pages_and_lone_thumbnails_are_noted(tmp_path):
    samples = levels(8)
    for tags, words in (({"before": [{}]}, "more than one page"), ({"tags": {254: [1]}}, "only a thumbnail")):
        (tmp_path / "p.tif").write_bytes(tiff(samples, MINISBLACK, **tags))
        task = load_image(tmp_path / "p.tif", SIDE)
        assert words in task.notes[0]
        assert np.abs(task.image(task.values) - samples / 255).max() < 1e-6


def complex_tiff():
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((SIDE, SIDE), dtype="c8"))
    return buffer.getvalue()


KEYED = png(levels(16), 0, 16, chunk(b"tRNS", b"\0\7"))
NAN = np.full((SIDE, SIDE, 3), np.nan, dtype="f4")
REFUSED = {
    "complex.tif": (complex_tiff(), "complex"),
    "mosaic.tif": (tiff(levels(16), 32803), "CFA"),
    "unequal.tif": (tiff(levels(8, 3), RGB, tags={258: [5, 6, 5]}), "bits"),
    "inks.tif": (tiff(levels(8, 4), CMYK, tags={332: [2]}), "inks"),
    "nan.tif": (tiff(NAN, RGB), "NaN"),
    "few.tif": (tiff(levels(8, 2), RGB), "2 samples a pixel"),
    "no-palette.tif": (tiff(levels(8), PALETTE), "without a palette"),
    "large.tif": (tiff(levels(8), MINISBLACK, tags={256: [100_000], 257: [100_000]}), "too large"),
    "empty-strip.tif": (tiff(levels(8), MINISBLACK, tags={279: [27, 0, 27]}), "no bytes"),
    "jpeg-12.tif": (tiff(levels(12), MINISBLACK, 12, tags={259: [7]}), "12 bits with compression JPEG"),
    "damaged.png": (damaged(KEYED, KEYED.index(b"tRNS") + 4), "damaged chunk tRNS"),
    **{
        f"short-{codec}.tif": (tiff(levels(8), MINISBLACK, codec=codec, data=[b"\1" * 20], rows=SIDE), "TIFF")
        for codec in CODECS
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_right_answer_is_refused_in_one_line(tmp_path, name):
    content, words = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        load_image(tmp_path / name, SIDE)
    assert str(caught.value).startswith(f"{tmp_path / name}: expected a readable picture, got ")
    assert "\n" not in str(caught.value)
