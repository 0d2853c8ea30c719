"""A foreign model with a method, as a Backbone."""

from typing import TYPE_CHECKING

import torch

from slbench import registrations
from slbench.backbones.specs.foreign import ForeignSpec
from slbench.errors import InputError
from slbench.foreign import constructors
from slbench.foreign.pretrained import load_pretrained
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.retrofit.backbone import RetrofittedBackbone
from slbench.text import shown

if TYPE_CHECKING:
    from slbench.backbones.layers import Backbone


def construct(spec: ForeignSpec, method: Method, *, shape: ImageShape, drop_path: float, seed: int) -> "Backbone":
    """Return a foreign model with a method; its initial values are drawn by its own constructor.

    Args:
        seed: of the parameters that the method adds.
    Raises:
        InputError: if the model cannot be built for such images, or its weights do not fit.
        InapplicableError: if the method finds nothing to change.
    """
    device = torch.get_default_device()
    if device.type != "meta":
        return with_values(spec, method, shape=shape, drop_path=drop_path, seed=seed)
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):  # the retrofit looks at values of the model
        return with_values(spec, method, shape=shape, drop_path=drop_path, seed=seed).to(device)


def with_values(spec: ForeignSpec, method: Method, *, shape: ImageShape, drop_path: float, seed: int) -> "Backbone":
    model = constructors.construct(spec, shape=shape, drop_path=drop_path)
    check_patches(spec, model, shape)
    if spec.pretrained:
        file = registrations.locate(spec.pretrained, what=f"pretrained weights of {spec.model}")
        load_pretrained(model, file, spec=spec, shape=shape)
    if spec.package == "torchvision":  # whose models have no argument for channels
        constructors.adapt_channels(model, shape.channels)
    return RetrofittedBackbone(model, method, shape=shape, seed=seed, from_scratch=not spec.pretrained)


def check_patches(spec: ForeignSpec, model: object, shape: ImageShape) -> None:
    """Raise InputError for patches that do not divide the images, of which some packages drop the border silently."""
    embedding = getattr(model, "patch_embed", None)
    patch, size = getattr(embedding, "patch_size", None), getattr(embedding, "img_size", None) or shape.size
    if isinstance(patch, int):
        patch = (patch, patch)
    if not isinstance(patch, tuple) or getattr(embedding, "dynamic_img_pad", False) or len(patch) != len(size):
        return
    if any(side % part for side, part in zip(size, patch, strict=True)):
        image = " x ".join(map(str, size))
        raise InputError(
            f"{spec.name}: patch_size: does not divide an image of {image} px (got {shown(list(patch))}); "
            "set another patch_size, or dataset.image_size"
        )
