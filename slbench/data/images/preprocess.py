"""Images of any origin as the input of a trained network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from slbench.data.images.decode import CHANNELS, MODES, pixels_of, resize
from slbench.errors import InputError

MODE_OF = {channels: mode for mode, channels in CHANNELS.items()}


@dataclass(frozen=True)
class Preprocess:
    """Turn images into the input of a network, as the evaluation of a run does: (pixels / 255 - mean) / std.

    Args:
        image_size: (height, width) in px of the network's input.
        mean: by channel, of pixels in [0, 1].
        std: likewise.
    """

    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(
        self, images: Image.Image | Sequence[Image.Image] | np.ndarray | Tensor
    ) -> Float[Tensor, "*batch c h w"]:
        """Return normalised images as float32, on the device of a tensor, else on the CPU.

        Args:
            images: one PIL image, which becomes (c h w); a sequence of b, which becomes (b c h w); or uint8 pixels
                (c h w) or (..., c h w) as a tensor or array, of the network's size. PIL images are converted to grey,
                RGB or RGBA by the number of channels; where they have another size, each side is scaled to that of
                the network with an antialiased bilinear filter, as in a folder of images.
        Raises:
            InputError: for pixels of another type, shape or number of channels.
        """
        if isinstance(images, Image.Image):
            pixels = torch.from_numpy(self.pixels(images).copy())
        elif isinstance(images, np.ndarray | Tensor):
            pixels = torch.as_tensor(images)
        else:
            pixels = torch.from_numpy(np.stack([self.pixels(image) for image in images]))
        expected = (len(self.mean), *self.image_size)
        if pixels.dtype != torch.uint8 or pixels.shape[-3:] != expected:
            got = f"{str(pixels.dtype).removeprefix('torch.')} {tuple(pixels.shape)}"
            raise InputError(f"images: must be uint8, (..., channels, height, width) (got {got}); allowed: {expected}")
        mean, std = (torch.tensor(each, device=pixels.device)[:, None, None] for each in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Return the pixels of a PIL image at the size and with the channels of the network."""
        mode = MODE_OF.get(len(self.mean))
        if mode is None or image.mode not in MODES:
            raise InputError(
                f"images: pixel mode not supported for {len(self.mean)} channels (got '{image.mode}'); "
                f"allowed: {', '.join(MODES)} for 1, 3 or 4 channels; pass uint8 pixels as a tensor"
            )
        return resize(pixels_of(image, mode), self.image_size)
