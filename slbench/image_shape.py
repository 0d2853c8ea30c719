"""ImageShape: the shape of the images that a network classifies."""

from dataclasses import dataclass

MAX_SIDE = 4096  # px
MAX_CHANNELS = 4096
MAX_CLASSES = 1_000_000


@dataclass(frozen=True)
class ImageShape:
    """Shape of the images of a network, and their classes."""

    size: tuple[int, int]  # (height, width) in px
    channels: int
    classes: int

    @property
    def kind(self) -> str:
        """Return "gray images of 28 px", or "RGB images of 32 x 48 px"."""
        colors = {1: "gray", 3: "RGB"}.get(self.channels, f"{self.channels}-channel")
        return f"{colors} images of {' x '.join(map(str, dict.fromkeys(self.size)))} px"
