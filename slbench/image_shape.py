"""ImageShape: the shape of the images that a network classifies."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageShape:
    """Shape of the images of a network, and their classes."""

    size: tuple[int, int]  # (height, width) in px
    channels: int
    classes: int
