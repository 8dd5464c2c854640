"""Reading pictures, choosing pixels, and judging pictures."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from ntkspec.errors import UsageError
from ntkspec.nets.image import load_image, pixel_centres, to_uint8
from ntkspec.nets.metrics import picture_metrics
from ntkspec.nets.samples import sample_pixels

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 6, 3), dtype=np.uint8)


def save(path, picture, **options):
    picture.save(path, **options)
    return path


def test_pixel_centres_and_rows(tmp_path):
    task = load_image(save(tmp_path / "p.png", Image.fromarray(COLOURS)), 6)
    for index in range(36):
        row, column = divmod(index, 6)
        assert task.coordinates[index] == pytest.approx([(column + 0.5) / 6, (row + 0.5) / 6])
        assert task.values[index] == pytest.approx(COLOURS[row, column] / 255)
    assert task.coordinates.dtype == task.values.dtype == np.float32
    assert np.array_equal(to_uint8(task.image(task.values)), COLOURS)
    assert np.array_equal(task.coordinates, pixel_centres(6))
    assert task.notes == ()


def test_the_centre_is_cropped(tmp_path):
    wide = np.zeros((4, 10), dtype=np.uint8)
    wide[:, 3:7] = 255
    task = load_image(save(tmp_path / "w.png", Image.fromarray(wide)), 4)
    assert task.channels == 1
    assert np.all(task.values == 1)


def test_shrinking_is_antialiased(tmp_path):
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    task = load_image(save(tmp_path / "s.png", Image.fromarray(stripes)), 8)
    assert task.values[27:29] == pytest.approx(0.5, abs=0.02)


def test_enlarging_is_noted(tmp_path):
    task = load_image(save(tmp_path / "p.png", Image.fromarray(COLOURS)), 12)
    assert "enlarged to 12" in task.notes[0]
    assert task.values.min() >= 0
    assert task.values.max() <= 1


@pytest.mark.parametrize(
    ("mode", "channels"),
    [
        ("1", 1),
        ("L", 1),
        ("LA", 1),
        ("P", 3),
        ("RGB", 3),
        ("RGBA", 3),
        ("I;16", 1),
    ],
)
def test_modes(tmp_path, mode, channels):
    picture = Image.fromarray(COLOURS)
    picture = (
        Image.fromarray(COLOURS[..., 0].astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
    )
    path = save(tmp_path / "p.tiff", picture)
    assert load_image(path, 6).channels == channels
    assert load_image(path, 6, grey=True).channels == 1


def test_sixteen_bits_are_kept(tmp_path):
    deep = RNG.integers(0, 65536, (6, 6), dtype=np.uint16)
    for name in ("p.png", "p.tiff"):
        task = load_image(save(tmp_path / name, Image.fromarray(deep)), 6)
        assert task.values[:, 0] == pytest.approx(deep.ravel() / 65535, abs=1e-7)


def test_float_pictures(tmp_path):
    values = RNG.random((6, 6)).astype(np.float32)
    inside = load_image(save(tmp_path / "in.tiff", Image.fromarray(values)), 6)
    assert inside.values[:, 0] == pytest.approx(values.ravel())
    outside = load_image(save(tmp_path / "out.tiff", Image.fromarray(values * 100 - 50)), 6)
    assert "rescaled" in outside.notes[0]
    assert (outside.values.min(), outside.values.max()) == (0, 1)
    values[0, 0] = np.nan
    with pytest.raises(UsageError, match=r"nan\.tiff: .*NaN"):
        load_image(save(tmp_path / "nan.tiff", Image.fromarray(values)), 6)


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((4, 4, 4), dtype=np.uint8)
    rgba[:2, :, 3] = 255  # the upper half opaque black, the lower half transparent
    for name, picture in [
        ("a.png", Image.fromarray(rgba)),
        ("la.png", Image.fromarray(rgba).convert("LA")),
        ("p.gif", Image.fromarray(rgba).convert("P")),
    ]:
        if name == "p.gif":
            picture = Image.fromarray(np.repeat([[0] * 4, [1] * 4], 2, axis=0).astype(np.uint8), "P")
            picture.putpalette([0, 0, 0, 9, 9, 9])
            picture.info["transparency"] = 1
        values = load_image(save(tmp_path / name, picture), 4).image(load_image(tmp_path / name, 4).values)
        assert np.all(values[:2] == 0), name
        assert np.all(values[2:] == 1), name


def test_orientation_is_obeyed(tmp_path):
    picture = Image.fromarray(COLOURS)
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    task = load_image(save(tmp_path / "p.png", picture, exif=exif), 6)
    assert np.array_equal(to_uint8(task.image(task.values)), np.rot90(COLOURS, -1))


def bomb():
    """A PNG that claims 100000 x 100000 pixels."""
    header = struct.pack(">IIBBBBB", 100000, 100000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def png():
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", png()[:5000], png()[:30], bomb()],
    ids=["empty", "text", "truncated", "header", "bomb"],
)
def test_files_that_are_no_pictures(tmp_path, content):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_image(path, 8)
    assert str(path) in str(caught.value)


def test_absent_files_and_folders(tmp_path):
    for path in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(UsageError, match="readable picture"):
            load_image(path, 8)


def test_random_samples_are_distinct_seeded_and_sorted():
    one = sample_pixels("random", 20, 100, seed=1)
    assert one.dtype == np.int64
    assert len(np.unique(one)) == 100
    assert np.all(np.diff(one) > 0)
    assert 0 <= one[0] < one[-1] < 400
    assert np.array_equal(one, sample_pixels("random", 20, 100, seed=1))
    assert not np.array_equal(one, sample_pixels("random", 20, 100, seed=2))
    assert np.array_equal(sample_pixels("random", 20, 400), np.arange(400))


@pytest.mark.parametrize(("side", "n"), [(192, 1024), (20, 100), (20, 1), (7, 49), (7, 10), (10, 99)])
def test_grid_samples_are_every_kth_and_nearest_to_n(side, n):
    rows, columns = np.divmod(sample_pixels("grid", side, n), side)
    axis = np.unique(rows)
    assert np.array_equal(np.unique(columns), axis)
    assert len(rows) == len(axis) ** 2
    assert len(np.unique(np.diff(axis))) <= 1
    assert abs((axis[0]) - (side - 1 - axis[-1])) <= 1
    nearest = min(abs(len(range(0, side, k)) ** 2 - n) for k in range(1, side + 1))
    assert abs(len(rows) - n) == nearest


@pytest.mark.parametrize(("side", "n", "edge"), [(192, 1024, 32), (20, 10, 3), (20, 400, 20), (5, 1, 1)])
def test_patch_samples_are_a_centred_block(side, n, edge):
    start = (side - edge) // 2
    mask = np.zeros((side, side), dtype=bool)
    mask[start : start + edge, start : start + edge] = True
    assert np.array_equal(sample_pixels("patch", side, n), np.flatnonzero(mask))


@pytest.mark.parametrize("pattern", ["random", "grid", "patch"])
@pytest.mark.parametrize("n", [0, -1, 26])
def test_more_samples_than_pixels(pattern, n):
    with pytest.raises(UsageError, match="1 to 25"):
        sample_pixels(pattern, 5, n)


def test_an_unknown_pattern():
    with pytest.raises(UsageError, match="random, grid or patch"):
        sample_pixels("all", 5, 5)


def test_pixels_held_out_are_at_random_and_the_same_of_every_picture(tmp_path):
    path = save(tmp_path / "p.png", Image.fromarray(COLOURS))
    other = save(tmp_path / "q.png", Image.fromarray(COLOURS[::-1]))
    assert len(load_image(path, 6).held_out) == 0
    assert np.array_equal(load_image(path, 6).learnt, np.arange(36))
    for share, count in ((0.5, 18), (0.25, 9), (0.01, 1), (0.99, 35)):
        task = load_image(path, 6, held_out=share)
        assert len(task.held_out) == count
        assert np.array_equal(np.sort([*task.held_out, *task.learnt]), np.arange(36))
        assert np.array_equal(task.held_out, load_image(other, 6, held_out=share).held_out)
        assert len(task.values) == len(task.coordinates) == 36
    rows, columns = np.divmod(load_image(path, 60, held_out=0.5).held_out, 60)
    for axis in (rows, columns):  # of 30 expected: four deviations
        assert np.abs(np.bincount(axis, minlength=60) - 30).max() < 4 * np.sqrt(60 * 0.25)


def test_kernels_are_taken_where_is_learnt(tmp_path):
    task = load_image(save(tmp_path / "p.png", Image.fromarray(COLOURS)), 6, held_out=0.5)
    chosen = task.sample("random", 10, seed=3)
    assert len(np.unique(chosen)) == 10
    assert set(chosen) <= set(task.learnt)
    assert np.all(np.diff(chosen) > 0)
    assert np.array_equal(chosen, task.sample("random", 10, seed=3))
    assert np.array_equal(task.sample("random", 18, seed=0), task.learnt)
    with pytest.raises(UsageError, match="1 to 18, the pixels that are learnt"):
        task.sample("random", 19, seed=0)
    for pattern in ("grid", "patch"):
        with pytest.raises(UsageError, match="random, where pixels are held out"):
            task.sample(pattern, 4, seed=0)


def test_sizes_and_shares_that_cannot_be(tmp_path):
    path = save(tmp_path / "p.png", Image.fromarray(COLOURS))
    for named, said in (
        ({"side": 0}, "side: expected a whole number"),
        ({"side": 2.5}, "side: expected a whole number"),
        ({"side": 4, "held_out": 1}, "held_out: expected a number from 0 on, below 1, got 1"),
        ({"side": 4, "held_out": -0.1}, "held_out: expected"),
        ({"side": 4, "held_out": float("nan")}, "held_out: expected"),
    ):
        with pytest.raises(UsageError, match=said):
            load_image(path, **named)


def test_pixels_held_out_are_judged_apart(tmp_path):
    task = load_image(save(tmp_path / "p.png", Image.fromarray(COLOURS)), 6, held_out=0.25)
    drawn = task.values + 0.01 * RNG.normal(size=task.values.shape).astype(np.float32)
    drawn[task.held_out] += 0.2
    metrics, _ = task.judge(drawn, lambda x: x)
    error = (task.values.astype(np.float64) - drawn.clip(0, 1)) ** 2
    for name, rows in (("", slice(None)), ("_learnt", task.learnt), ("_held_out", task.held_out)):
        assert metrics[f"psnr_db{name}"] == pytest.approx(-10 * np.log10(error[rows].mean()))
    assert set(load_image(tmp_path / "p.png", 6).judge(drawn, lambda x: x)[0]) == {"psnr_db"}
    drawn[task.learnt] = task.values[task.learnt]  # without an error: no finite PSNR
    assert set(task.judge(drawn, lambda x: x)[0]) == {
        "psnr_db",
        "psnr_db_learnt_infinite",
        "psnr_db_held_out",
    }


def test_psnr_by_the_definition():
    truth, drawn = RNG.random((20, 20, 3)), RNG.random((20, 20, 3)) * 2 - 0.5
    error = np.mean((truth - drawn.clip(0, 1)) ** 2)
    metrics = picture_metrics(truth, drawn)
    assert metrics == {"psnr_db": pytest.approx(-10 * np.log10(error))}


def test_ms_ssim_where_the_picture_is_large_enough():
    truth = astronaut()[:176, :176] / 255
    noise = RNG.normal(size=truth.shape)
    slightly, badly = (picture_metrics(truth, truth + size * noise) for size in (0.01, 0.3))
    assert 1 > slightly["ms_ssim"] > 0.99 > badly["ms_ssim"] > 0
    assert slightly["psnr_db"] > badly["psnr_db"]
    assert "ms_ssim" not in picture_metrics(truth[:175], truth[:175] + 0.1)
    assert picture_metrics(truth, truth) == {"psnr_db_infinite": 1, "ms_ssim": pytest.approx(1)}
    assert "ms_ssim" in picture_metrics(truth[..., :1], truth[..., :1] * 0.9)
