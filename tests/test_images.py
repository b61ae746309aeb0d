"""Folders of images of every kind: what is read, as what, and what is said of it."""

import os

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dec_keras.data import reading
from dec_keras.data.datasets import load_data
from dec_keras.data.reading import Reading
from dec_keras.errors import InputError
from tests.helpers import load_arrays as load

RNG = np.random.default_rng(0)


def noise(*shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def save(folder, **images):
    """Saves images under `name=(ending, image, options of Pillow)`."""
    for name, (ending, image, *options) in images.items():
        image.save(folder / f"{name}.{ending}", **(options[0] if options else {}))


def read(folder, **how):
    """The folder's images as they are read, whole."""
    x, _, about = load(str(folder), Reading(**how))
    return x.reshape(-1, *about.image_shape)


# Formats and files


@pytest.mark.parametrize(
    ("ending", "kind"),
    [("pgm", "PPM"), ("ppm", "PPM"), ("pnm", "PPM"), ("PGM", "PPM"), ("bmp", "BMP"), ("dib", "DIB"), ("tiff", "TIFF")]
    + [("apng", "PNG"), ("PNG", "PNG"), ("jpg", "PNG")],
)
@pytest.mark.parametrize("color", [False, True])
def test_every_format_is_read_by_what_it_is_and_not_by_its_ending(ending, kind, color, tmp_path):
    images = noise(3, 4, 5, 3) if color else noise(3, 4, 5)
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.{ending}", kind)
    np.testing.assert_array_equal(read(tmp_path, color=color), images)


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "jpe", "jfif", "JPG"])
def test_every_ending_of_jpeg_is_read(ending, tmp_path):
    Image.fromarray(np.full((8, 8), 99, np.uint8)).save(tmp_path / f"a.{ending}", "JPEG")
    Image.new("L", (8, 8)).save(tmp_path / "b.png")
    np.testing.assert_allclose(read(tmp_path)[0], 99, atol=1)


def test_bitmaps_and_few_levels_of_grey_are_read_over_the_whole_range(tmp_path):
    (tmp_path / "a.pbm").write_bytes(b"P4 8 1\n\xf0")
    (tmp_path / "b.pgm").write_text("P2 8 1 15\n0 1 2 3 4 5 10 15\n")
    save(tmp_path, c=("png", Image.fromarray(np.tile([0, 255], (1, 4)).astype(bool))))
    expected = [[0] * 4 + [255] * 4, [0, 17, 34, 51, 68, 85, 170, 255], [0, 255] * 4]
    np.testing.assert_array_equal(read(tmp_path)[:, 0], expected)


def test_what_is_left_out_is_said(tmp_path, capsys):
    images = noise(2, 4, 5)
    save(tmp_path, a=("png", Image.fromarray(images[0])), b=("pgm", Image.fromarray(images[1])))
    for name in ("1.json", "2.json", "NOTES.TXT", "Makefile", ".DS_Store", "._a.png"):
        (tmp_path / name).touch()
    (tmp_path / ".thumbnails").mkdir()
    save(tmp_path / ".thumbnails", a=("png", Image.new("L", (2, 2))))
    os.symlink("nowhere", tmp_path / "c.png")
    os.symlink(tmp_path, tmp_path / "again")
    np.testing.assert_array_equal(read(tmp_path), images)
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith(f"{tmp_path}: left out: 2 ")
    assert set(said.removesuffix(".").split("left out: ")[1].replace(" and ", ", ").split(", ")) == {
        *("2 .json", "2 hidden images", "1 .txt", "1 without an ending", "1 broken links", "1 links to folders")
    }


def test_a_folder_without_images_is_told_with_what_it_holds(tmp_path):
    (tmp_path / "x.npy").touch()
    with pytest.raises(InputError, match=r"holds no images \(.*\.pgm.*\), but 1 \.npy: give"):
        load_data(str(tmp_path))


def test_one_image_is_told(tmp_path):
    save(tmp_path, a=("png", Image.new("L", (2, 2))))
    with pytest.raises(InputError, match=r"a\.png is one image.*: give the folder"):
        load_data(str(tmp_path / "a.png"))
    with pytest.raises(InputError, match=r"There is no file .*b\.pgm"):
        load_data(str(tmp_path / "b.pgm"))


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "it is empty"), (b"<html>not found</html>", "none of PNG"), (b"P5 5 4 255\n123", r"truncated|damaged")],
    ids=["empty", "another kind", "cut off"],
)
def test_a_bad_file_is_named(data, message, tmp_path):
    save(tmp_path, a=("png", Image.fromarray(noise(4, 5))))
    (tmp_path / "b.pgm").write_bytes(data)
    with pytest.raises(InputError, match=rf"Cannot read .*b\.pgm: .*({message})"):
        load_data(str(tmp_path))


@pytest.mark.parametrize("ending", ["tif", "gif", "png", "webp"])
def test_of_several_pages_the_first_is_read_and_that_is_said(ending, tmp_path, capsys):
    pages = noise(4, 8, 8)
    first, *others = map(Image.fromarray, pages)
    options = {"lossless": True} if ending == "webp" else {}
    first.save(tmp_path / f"a.{ending}", save_all=True, append_images=others, **options)
    save(tmp_path, b=("png", first))
    np.testing.assert_array_equal(read(tmp_path), pages[[0, 0]])
    assert "1 of 2 files have more than one page or frame: the first is read" in capsys.readouterr().out


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("ending", "dtype"),
    [("png", np.uint8), ("png", np.uint16), ("tif", np.uint8), ("tif", np.uint16), ("webp", np.uint8)],
)
def test_images_are_turned_as_they_say(orientation, ending, dtype, tmp_path):
    pixels, exif = noise(4, 6, dtype=dtype), Image.Exif()
    pixels[0, 0] = np.iinfo(dtype).max
    exif[0x0112] = orientation
    options = {"lossless": True} if ending == "webp" else {}
    save(tmp_path, a=(ending, Image.fromarray(pixels), {"exif": exif, **options}))
    turned = (
        *(pixels, pixels[:, ::-1], pixels[::-1, ::-1], pixels[::-1]),
        *(pixels.T, np.rot90(pixels, -1), pixels[::-1, ::-1].T, np.rot90(pixels)),
    )[orientation - 1]
    np.testing.assert_array_equal(read(tmp_path)[0], turned >> (0 if dtype == np.uint8 else 8))


# Bits


@pytest.mark.parametrize("bits", [16, 15, 12, 9, 8, 5])
@pytest.mark.parametrize("kind", ["png", "tif", "big-endian", "32 bits"])
def test_grey_of_more_than_8_bits_loses_the_lowest_that_it_uses(kind, bits, tmp_path, capsys):
    """12 bits are often kept in 16; cut by 8 they would be nearly black."""
    values = RNG.integers(0, 2**bits, (3, 4, 5)).astype(np.uint16)
    values[1, 0, 0] = 2**bits - 1
    for i, image in enumerate(values):
        stored = {"big-endian": image.astype(">u2"), "32 bits": image.astype(np.int32)}.get(kind, image)
        Image.fromarray(stored).save(tmp_path / f"{i}.{kind if kind == 'png' else 'tif'}")
    np.testing.assert_array_equal(read(tmp_path), values >> max(0, bits - 8))
    said = f"divided by {2 ** (bits - 8)}" if bits > 8 else "which fit in 8 bits"
    assert f"3 of 3 images have 16 bits a pixel, with values up to {2**bits - 1}: {said}." in capsys.readouterr().out


def test_a_pgm_file_of_12_bits_is_brought_to_8(tmp_path):
    values = RNG.integers(0, 4096, (4, 5)).astype(">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 5 4 4095\n" + values.tobytes())
    np.testing.assert_allclose(read(tmp_path)[0], values / 16, atol=1)


def test_new_images_lose_as_many_bits_as_the_models(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    save(tmp_path / "old", a=("png", Image.fromarray(np.array([[0, 4095]], np.uint16))))
    save(tmp_path / "new", a=("png", Image.fromarray(np.array([[16, 160]], np.uint16))))
    about = load(str(tmp_path / "old"))[2]
    how = reading.from_attributes(reading.attributes(about.reading), n_features=2)
    assert load_data(str(tmp_path / "new"), how)[0].tolist() == [[1, 10]]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.fromarray(np.array([[0, -5]], np.int32)), r"pixels from -5 to 0: bring them to 0 to 65535"),
        (Image.fromarray(np.array([[0, 65536]], np.int32)), r"pixels from 0 to 65536"),
        (Image.new("F", (2, 1)), r"floating-point .* \.npy"),
        (Image.new("LAB", (2, 1)), "an image in LAB, which is not read: save it in RGB or grey"),
    ],
    ids=["negative", "more than 16 bits", "floats", "LAB"],
)
def test_pixels_that_are_not_read_are_told_with_what_to_do(image, message, tmp_path):
    save(tmp_path, a=("tif", image))
    with pytest.raises(InputError, match=rf"a\.tif .*{message}"):
        load_data(str(tmp_path))


@pytest.mark.parametrize("mode", ["P", "CMYK", "1", "L"])
def test_other_modes_are_read_as_pillow_turns_them(mode, tmp_path):
    image = Image.fromarray(noise(4, 5, 3)).convert(mode)
    save(tmp_path, a=("tif", image), b=("png", Image.fromarray(noise(4, 5))))
    np.testing.assert_array_equal(read(tmp_path, color=True)[0], np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(read(tmp_path)[0], np.asarray(image.convert("L")))


def test_images_of_one_colour_are_told_and_of_nearly_one_warned_of(tmp_path, capsys):
    save(tmp_path, a=("png", Image.new("L", (2, 2), 7)), b=("png", Image.new("L", (2, 2), 7)))
    with pytest.raises(InputError, match="all pixels of all 2 images have the value 7"):
        load_data(str(tmp_path))
    assert load_data(str(tmp_path), Reading(n_features=4))[0].shape == (2, 4)  # new ones may
    save(tmp_path, a=("png", Image.new("L", (2, 2), 9)))
    load_data(str(tmp_path))
    assert "Warning: all pixels lie between 7 and 9 of 255" in capsys.readouterr().out


# Transparency


def icons(folder, color, mode="RGBA", n=6):
    """Squares and discs of a colour on nothing, and where they are."""
    where = []
    for i in range(n):
        shape = Image.new("L", (12, 12))
        draw = ImageDraw.Draw(shape)
        (draw.ellipse if i % 2 else draw.rectangle)((2, 2, 7 + i % 3, 8), fill=255)
        where.append(np.asarray(shape) > 0)
        image = Image.new("RGBA", shape.size, (0, 0, 0, 0))
        image.paste(color[i % len(color)], mask=shape)
        image = image.quantize() if mode in ("P", "PA") else image.convert(mode)
        if mode == "PA":
            image.putalpha(shape)
        image.save(folder / f"{i}.{'tif' if mode == 'PA' else 'png'}")
    return np.array(where)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
@pytest.mark.parametrize(
    ("color", "background", "name"), [((0, 0, 0, 255), 255, "white"), ((255, 255, 255, 255), 0, "black")]
)
def test_shapes_in_the_alpha_channel_are_seen(mode, color, background, name, tmp_path, capsys):
    where = icons(tmp_path, [color], mode)
    np.testing.assert_array_equal(read(tmp_path), np.where(where, color[0], background))
    said = capsys.readouterr().out
    assert f"6 of 6 images are transparent in places: composed on {name}." in said
    assert "Warning" not in said
    np.testing.assert_array_equal(
        read(tmp_path, color=True), np.where(where, color[0], background)[..., None].repeat(3, -1)
    )


def test_black_and_white_icons_are_all_seen_on_grey(tmp_path, capsys):
    where = icons(tmp_path, [(0, 0, 0, 255), (255, 255, 255, 255)])
    colors = np.array([0, 255] * 3)[:, None, None]
    np.testing.assert_array_equal(read(tmp_path), np.where(where, colors, 128))
    assert "composed on grey." in capsys.readouterr().out


def test_where_some_are_lost_on_any_background_the_fewest_are_and_the_run_warns(tmp_path, capsys):
    colors = [(level,) * 3 + (255,) for level in (255, 255, 0, 128)]
    where = icons(tmp_path, colors, n=8)  # white loses 4, black and grey 2
    np.testing.assert_array_equal(read(tmp_path), np.where(where, np.array([255, 255, 0, 128] * 2)[:, None, None], 0))
    said = capsys.readouterr().out
    assert "8 of 8 images are transparent in places: composed on black." in said
    assert "Warning: 2 of 8 images are of one colour there." in said


def test_half_transparent_pixels_are_mixed_and_opaque_images_not_mentioned(tmp_path, capsys):
    pixels = np.zeros((1, 2, 4), np.uint8)
    pixels[..., 3] = [51, 255]
    save(tmp_path, a=("png", Image.fromarray(pixels)))
    assert read(tmp_path)[0].tolist() == [[204, 0]]
    assert "1 of 1 images are transparent" in capsys.readouterr().out
    pixels[..., 3], pixels[0, 0, :3] = 255, 200
    save(tmp_path, a=("png", Image.fromarray(pixels)))
    assert read(tmp_path)[0].tolist() == [[200, 0]]
    assert "transparent in places" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mode", "shown", "key"),
    [("P", 0, b"\xff\x00"), ("L", 9, 200), ("RGB", (9, 9, 9), (1, 2, 3)), ("I;16", 9 * 256, 4)],
)
def test_a_colour_that_stands_for_transparent_is_so(mode, shown, key, tmp_path):
    image = Image.new(mode, (2, 1), shown)
    if mode == "P":
        image.putpalette([9, 9, 9, 1, 2, 3])
    image.putpixel((1, 0), 1 if mode == "P" else key)
    save(
        tmp_path, a=("png", image, {"transparency": key}), b=("png", Image.fromarray(np.array([[0, 65535]], np.uint16)))
    )
    assert read(tmp_path)[0].tolist() == [[9, 255]]


def test_new_images_are_composed_on_the_models_background(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    icons(tmp_path / "old", [(255, 255, 255, 255)])
    where = icons(tmp_path / "new", [(99, 99, 99, 255)])
    about = load(str(tmp_path / "old"))[2]
    how = reading.from_attributes(reading.attributes(about.reading), n_features=144)
    np.testing.assert_array_equal(load_data(str(tmp_path / "new"), how)[0].reshape(where.shape), np.where(where, 99, 0))


@pytest.mark.parametrize("wrong", [{"background": "pink"}, {"background": 5}, {"bits": 7}, {"bits": "many"}])
def test_a_model_that_tells_of_no_such_reading_is_told(wrong):
    with pytest.raises(InputError, match="damaged"):
        reading.from_attributes({"reading": wrong}, n_features=4)


def test_a_header_that_announces_more_than_is_there_is_told(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 12000 12000 255\n")
    with pytest.raises(InputError, match="damaged or a trap"):
        load_data(str(tmp_path))


def test_formats_that_are_not_safe_are_not_read_under_another_ending(tmp_path):
    """Icons and PostScript, which Pillow knows."""
    (tmp_path / "a.ppm").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 5\n%%EndComments\n")
    with pytest.raises(InputError, match=r"Cannot read .*a\.ppm"):
        load_data(str(tmp_path))
    Image.new("RGB", (4, 4)).save(tmp_path / "a.ppm", "ICO")
    with pytest.raises(InputError, match=r"Cannot read .*a\.ppm"):
        load_data(str(tmp_path))
