"""Folders of images -> x, y."""

import math
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dec_keras.data.reading import About, listed
from files import InputError
from untrusted import check_expansion, told

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP")  # Pillow would run Ghostscript for an EPS file


def images(folder, how):
    """All images in a folder and below, in the order of their names."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGES and path.name[0] != ".")
    paths = sorted(path for path in found if path.is_file())
    if not paths:
        raise InputError(f"{folder} holds no images ({', '.join(IMAGES)}): give a folder of images, or a file.")
    names = [Path(_in_unicode(path.relative_to(folder))) for path in paths]
    y = None
    if how.labels_from_folders and not how.n_features:  # new ones may lie anywhere
        if stray := [str(name) for name in names if len(name.parts) == 1]:
            raise InputError(f"{folder}: {listed(stray)} lie in no subfolder that --labels_from_folders could label.")
        y = np.array([name.parts[0] for name in names])
    first = told(lambda paths: _pixels(paths[0], how), paths[:1])
    x = np.empty((len(paths), *first.shape), np.uint8)
    for i, path in enumerate(paths):
        image = told(lambda paths: _pixels(paths[0], how), [path])
        if image.shape != first.shape:
            sizes = ["{}x{}".format(*pixels.shape) for pixels in (first, image)]
            raise InputError(
                f"{paths[0]} has {sizes[0]} pixels (height x width) and {path} {sizes[1]}: bring all to one size, "
                f"such as --image_size {sizes[0]}."
            )
        x[i] = image
    about = About([name.as_posix() for name in names], image_shape=first.shape, eight_bit=True)
    return x, y, replace(about, reading=replace(how, image_size=first.shape[:2]))


def _in_unicode(path):
    """A path's name, as text that can be written: a byte that is no character becomes its number."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _pixels(path, how):
    """An image as bytes of shape `(height, width)`, or `(height, width, 3)` in colour."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its error stays
        image = Image.open(path, formats=FORMATS)
    with image:
        numbers = math.prod(image.size) * len(image.getbands())
        check_expansion(path, numbers, numbers, path.stat().st_size)
        if image.mode.startswith("I;16"):  # 16 bits of grey, which Pillow would cut off at 255
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.mode in ("I", "F"):
            raise InputError(f"{path} has more than 16 bits a pixel: save it as an image of 8 bits.")
        image = ImageOps.exif_transpose(image).convert("RGB" if how.color else "L")
        if how.image_size is not None:
            height, width = how.image_size
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image)
