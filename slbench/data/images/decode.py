"""Decode and resize image files with Pillow."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slbench.errors import InputError, unreadable
from slbench.files import open_regular
from slbench.limits import IMAGE_PIXELS

Pixels = NDArray[np.uint8]  # (channels, height, width)

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
# Content of image files, whatever their names say. Others are refused: reading EPS starts another program.
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "PPM", "TIFF", "WEBP", "GIF", "JPEG2000", "TGA", "PSD", "ICO", "PCX", "AVIF")
MODES = {"L": "L", "1": "L", "RGB": "RGB", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "RGBA": "RGBA"}  # and as read
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


@dataclass(frozen=True)
class ImageHeader:
    """Size and mode of an image file."""

    size: tuple[int, int]  # (height, width) in px
    mode: str  # "L", "RGB" or "RGBA"


@contextmanager
def opened(file: Path | BytesIO | BufferedReader, name: str) -> Iterator[Image.Image]:
    """Open an image from a path or an open file; a path is always closed afterwards."""
    try:
        stream = open_regular(file) if isinstance(file, Path) else nullcontext(file)
    except OSError as error:
        raise unreadable(name, error) from error
    with stream as content:
        yield open_image(content, name)


def open_image(file: BytesIO | BufferedReader, name: str) -> Image.Image:
    """Open an image without decoding it.

    Args:
        name: file name in errors.
    Raises:
        InputError: if Pillow cannot read it, it is too large, or its pixels are not 8-bit grey,
            RGB or RGBA.
    """
    most = IMAGE_PIXELS.value
    if Image.MAX_IMAGE_PIXELS is not None and most > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = most  # Pillow refuses twice as many
    too_large = f"more than {most:,} pixels; shrink or delete it, or raise {IMAGE_PIXELS.variable}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a lower limit is checked below
            image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: {too_large}") from error
    except Exception as error:  # Pillow can raise anything on a damaged file
        raise InputError(f"{name}: not a readable image; restore or delete the file") from error
    if image.width * image.height > most:
        raise InputError(f"{name}: {image.width} x {image.height} px: {too_large}")
    if image.mode not in MODES:
        raise InputError(
            f"{name}: pixel mode not supported (got '{image.mode}'); allowed: {', '.join(MODES)}; convert it to 8 bits"
        )
    return image


def header(path: Path) -> ImageHeader:
    """Return size and mode of an image file without decoding it. Raises like `open_image`."""
    with opened(path, str(path)) as image:
        return ImageHeader((image.height, image.width), MODES[image.mode])


def decode(file: Path | BytesIO | BufferedReader, mode: str, *, name: str) -> Pixels:
    """Return the pixels of an image file in mode "L", "RGB" or "RGBA".

    The EXIF orientation is not applied, as in torchvision's ImageFolder.

    Raises:
        InputError: if it is damaged.
    """
    with opened(file, name) as image:
        try:
            return pixels_of(image, mode)
        except Exception as error:  # as above
            raise InputError(f"{name}: damaged image; restore or delete the file") from error


def pixels_of(image: Image.Image, mode: str) -> Pixels:
    """Return the pixels of an opened image, converted to a mode."""
    pixels = np.asarray(image.convert(mode))
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return an image resized to (height, width), per channel, with Pillow's antialiased bilinear filter.

    Each side is scaled separately; nothing is cropped.
    """
    if pixels.shape[1:] == size:
        return pixels
    height, width = size
    scaled = [Image.fromarray(channel).resize((width, height), Image.Resampling.BILINEAR) for channel in pixels]
    return np.stack([np.asarray(channel) for channel in scaled])


def digest_of(pixels: Pixels) -> bytes:
    """Return the sha256 of an image's bytes (channels, height, width)."""
    return hashlib.sha256(pixels.tobytes()).digest()
