"""Folders of images -> x, y."""

import io
import math
import os
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dec_keras.data.reading import BACKGROUNDS, About, listed
from dec_keras.errors import InputError
from dec_keras.files.untrusted import check_expansion, explain_errors

IMAGES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"),
    *(".pgm", ".ppm", ".pbm", ".pnm"),
)
# Pillow may read these formats only: for an EPS file it would run Ghostscript.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM")
DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's grey modes above 8 bits; `convert` cuts values off at 255
SHOWS = 16  # levels of grey by which the pixels of an image must differ to show anything


@dataclass
class _Seen:
    """Numbers of images in a folder about which `_notes` prints a message, and `highest`."""

    paged: int = 0  # with several pages or frames
    deep: int = 0  # grey with more than 8 bits
    highest: int = 0  # largest value in the deep images
    transparent: int = 0  # with transparent pixels
    lost: int = 0  # transparent, and of one colour on the background


def images(folder, how):
    """Reads all images in a folder and its subfolders, in the order of their names. Hidden images are left out.

    Only the first page or frame of an image is read. Transparent images are composed on white, or on black or grey if
    fewer images are lost there; an image is lost if it becomes one colour. Grey images above 8 bits lose the lowest
    bits: 8 of 16, or fewer if no value in the folder needs all 16. All this, and what is left out, is printed.
    """
    paths = _files(folder)
    names = [Path(_in_unicode(path.relative_to(folder))) for path in paths]
    y = None
    if how.labels_from_folders and not how.n_features:  # new images may lie in any folder
        if stray := [str(name) for name in names if len(name.parts) == 1]:
            raise InputError(f"{folder}: {listed(stray)} lie in no subfolder that --labels_from_folders could label.")
        y = np.array([name.parts[0] for name in names])
    x, how, seen = _read(paths, how)
    for note in _notes(seen, how, len(x)):
        print(f"{folder}: {note}")
    if not how.n_features:
        _check_contrast(folder, x)
    about = About([name.as_posix() for name in names], image_shape=x.shape[1:], eight_bit=True)
    return x, y, replace(about, reading=replace(how, image_size=x.shape[1:3]))


def _files(folder):
    """Returns the sorted paths of a folder's images, and prints which other files are left out."""
    paths, left_out = [], Counter()
    for place, folders, files in os.walk(folder, onerror=_unreadable):
        left_out["links to folders"] += sum(os.path.islink(os.path.join(place, name)) for name in folders)
        for path in (Path(place, name) for name in files):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.suffix.lower() not in IMAGES:
                left_out[path.suffix.lower() or "without an ending"] += not hidden
            elif hidden:
                left_out["hidden images"] += 1
            elif not path.is_file():
                left_out["broken links"] += 1
            else:
                paths.append(path)
    others = [f"{number} {kind}" for kind, number in left_out.most_common() if number]
    others = _in_unicode(listed(others)) if others else ""
    if not paths:
        held = f", but {others}" if others else ""
        raise InputError(f"{folder} holds no images ({', '.join(IMAGES)}){held}: give a folder of images, or a file.")
    if others:
        print(f"{folder}: left out: {others}.")
    return sorted(paths)


def _unreadable(error):
    raise InputError(f"Cannot read the folder {error.filename} ({error.strerror}): give one that can be read.")


def _in_unicode(path):
    """Returns a path as text that can be printed: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _read(paths, how):
    """Returns all images as a uint8 array of shape `(n, height, width[, 3])`, the Reading that was used, and _Seen."""
    x, seen = _stack(paths, how)
    if seen.deep and how.bits is None:
        how = replace(how, bits=max(8, seen.highest.bit_length()))
        if how.bits < 16:
            x, seen = _stack(paths, how)
    if seen.transparent and how.background is None:
        lost, latest = {}, BACKGROUNDS[0]
        for background in BACKGROUNDS:
            if background != latest:
                x, seen = _stack(paths, replace(how, background=background))
            lost[background], latest = seen.lost, background
            if not seen.lost:
                break
        how = replace(how, background=min(lost, key=lost.get))
        if how.background != latest:
            x, seen = _stack(paths, how)
    return x, how, seen


def _stack(paths, how):
    seen = _Seen()
    first = explain_errors(lambda paths: _pixels(paths[0], how, _Seen()), paths[:1])
    x = np.empty((len(paths), *first.shape), np.uint8)
    for i, path in enumerate(paths):
        image = explain_errors(lambda paths: _pixels(paths[0], how, seen), [path])
        if image.shape != first.shape:
            sizes = ["{}x{}".format(*pixels.shape) for pixels in (first, image)]
            raise InputError(
                f"{paths[0]} has {sizes[0]} pixels (height x width) and {path} {sizes[1]}: bring all to one size, "
                f"such as --image_size {sizes[0]}."
            )
        x[i] = image
    return x, seen


def _pixels(path, how, seen):
    """Returns an image as a uint8 array of shape `(height, width)`, or `(height, width, 3)` in colour."""
    image = _opened(path)
    numbers = math.prod(image.size) * len(image.getbands())
    check_expansion(path, numbers, numbers, path.stat().st_size)
    seen.paged += getattr(image, "is_animated", False)
    image = ImageOps.exif_transpose(image)
    if image.mode in DEEP:
        image = _eight_bits(path, image, how.bits or 16, seen)
    elif image.mode == "F":
        raise InputError(
            f"{path} has pixels of floating-point numbers: save it with 8 or 16 bits a pixel, or all images as an "
            "array of shape (n, height, width) in a .npy file."
        )
    image, is_transparent = _opaque(image, how.background or BACKGROUNDS[0])
    try:
        image = image.convert("RGB" if how.color else "L")
    except ValueError as error:
        raise InputError(
            f"{path} is an image in {image.mode}, which is not read: save it in RGB or grey, with 8 bits a channel."
        ) from error
    if how.image_size is not None:
        height, width = how.image_size
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    seen.transparent += is_transparent
    seen.lost += is_transparent and int(np.ptp(pixels)) < SHOWS
    return pixels


def _opened(path):
    """Opens an image from bytes. From a path, Pillow takes all memory a PNG announces and misreads turned TIFFs."""
    data = path.read_bytes()
    if not data:
        raise InputError(f"Cannot read {path}: it is empty; get it again, or delete it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # for far larger images it raises an error
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise InputError(
            f"Cannot read {path}: it is damaged, none of {', '.join(FORMATS)}, or has pixels of a kind that Pillow "
            "does not read, such as 64 bits or five channels; get it again, or save it as a PNG of 8 bits a channel."
        ) from error


def _eight_bits(path, image, bits, seen):
    """Converts a grey image whose values have `bits` bits to 8 bits, in mode L or LA."""
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= 2**16:
        raise InputError(f"{path} has pixels from {low} to {high}: bring them to 0 to 65535, or save it with 8 bits.")
    seen.deep, seen.highest = seen.deep + 1, max(seen.highest, high)
    grey = Image.fromarray(np.minimum(values >> (bits - 8), 255).astype(np.uint8))
    transparent = image.info.get("transparency")  # the grey value that means transparent
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _opaque(image, background):
    """Returns the image composed on a background, and whether any of its pixels is transparent."""
    if not image.has_transparency_data:
        return image, False
    alpha = image.getchannel("A") if image.mode == "PA" else None  # Pillow 11's `convert` loses it
    image = image.convert("RGBA")
    alpha = alpha or image.getchannel("A")
    if alpha.getextrema()[0] == 255:
        return image, False
    below = Image.new("RGB", image.size, background)
    below.paste(image, mask=alpha)
    return below, True


def _notes(seen, how, n):
    """What was done to a folder's n images, in sentences."""
    if seen.paged:
        yield f"{seen.paged} of {n} files have more than one page or frame: the first is read, the others are left out."
    if seen.deep:
        divided = f"divided by {2 ** (how.bits - 8)}" if how.bits > 8 else "which fit in 8 bits"
        yield f"{seen.deep} of {n} images have 16 bits a pixel, with values up to {seen.highest}: {divided}."
    if seen.transparent:
        yield f"{seen.transparent} of {n} images are transparent in places: composed on {how.background}."
    if seen.lost:
        yield f"Warning: {seen.lost} of {n} images are of one colour there."


def _check_contrast(folder, x):
    low, high = int(x.min()), int(x.max())
    if low == high:
        raise InputError(f"{folder}: all pixels of all {len(x)} images have the value {low}: nothing tells them apart.")
    if high - low < SHOWS:
        print(
            f"{folder}: Warning: all pixels lie between {low} and {high} of 255. If the images show more, stretch "
            "their values to 0 to 255."
        )
