"""Image files and their sizes: decoding and resizing, both by Pillow."""

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

Pixels = NDArray[np.uint8]  # (channels, height, width)

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
MAX_PIXELS = 64_000_000  # of one image; a larger one is a mistake or a bomb
TOO_LARGE = f"larger than {MAX_PIXELS // 1_000_000} megapixels: shrink or delete it"
MODES = {"L": "L", "1": "L", "RGB": "RGB", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "RGBA": "RGBA"}  # and as read
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says of itself before it is decoded."""

    size: tuple[int, int]  # (height, width) in px
    mode: str  # "L", "RGB" or "RGBA"


@contextmanager
def opened(file: Path | BytesIO | BufferedReader, name: str) -> Iterator[Image.Image]:
    """`open_image` of a path or an open file; a path is closed afterwards, whatever happens."""
    try:
        stream = file.open("rb") if isinstance(file, Path) else nullcontext(file)
    except OSError as error:
        raise unreadable(name, error) from error
    with stream as content:
        yield open_image(content, name)


def open_image(file: BytesIO | BufferedReader, name: str) -> Image.Image:
    """The image of a file, not decoded yet.

    Args:
        name: what errors call the file.
    Raises:
        InputError: if it is no image that Pillow reads, or one too large, or with other pixels than 8 bits of
            grey, RGB or RGBA.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # checked below, at a lower size
            image = Image.open(file)
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: {TOO_LARGE}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{name}: not an image that can be read: restore or delete the file") from error
    if image.width * image.height > MAX_PIXELS:
        raise InputError(f"{name}: {image.width} x {image.height} px: {TOO_LARGE}")
    if image.mode not in MODES:
        raise InputError(f"{name}: pixels of kind '{image.mode}'; known: {', '.join(MODES)}: convert it to 8 bits")
    return image


def header(path: Path) -> ImageHeader:
    """Size and mode of an image file, without decoding it. Raises InputError like `open_image`."""
    with opened(path, str(path)) as image:
        return ImageHeader((image.height, image.width), MODES[image.mode])


def decode(file: Path | BytesIO | BufferedReader, mode: str, *, name: str) -> Pixels:
    """The pixels of an image file as the mode: "L", "RGB" or "RGBA".

    An orientation that a camera noted beside the pixels is not applied, as torchvision's ImageFolder does not.

    Raises:
        InputError: if it is damaged.
    """
    with opened(file, name) as image:
        try:
            pixels = np.asarray(image.convert(mode))
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(f"{name}: a damaged image: restore or delete the file") from error
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """An image brought to (height, width), channel by channel, by Pillow's bilinear filter with antialiasing.

    The sides are scaled each by its own factor: nothing is cut off.
    """
    if pixels.shape[1:] == size:
        return pixels
    height, width = size
    scaled = [Image.fromarray(channel).resize((width, height), Image.Resampling.BILINEAR) for channel in pixels]
    return np.stack([np.asarray(channel) for channel in scaled])


def digest_of(pixels: Pixels) -> bytes:
    """sha256 of an image's bytes, (channels, height, width)."""
    return hashlib.sha256(pixels.tobytes()).digest()
