"""AutoAugment on whole batches: each image draws its sub-policy, whether each operation acts, and its sign.

Source: arXiv:1805.09501, appendix; what a magnitude of 0 to 9 means, and the operations, as in torchvision
(10 bins, zeros from outside), whose operations are Pillow's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor

from slbench.data.augment import operations as op

Images = UInt8[Tensor, "b c h w"]
Step = tuple[str, float, int]  # operation, probability, magnitude; 0 where the operation has none
OPERATIONS = (
    *("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"),
    *("Brightness", "Contrast", "Posterize", "Solarize", "AutoContrast", "Equalize", "Invert"),
    *("Color", "Sharpness"),
)
GEOMETRIC, TABULAR = OPERATIONS[:5], OPERATIONS[5:12]  # geometric operations; functions of a pixel's value


def policy(text: str) -> tuple[tuple[Step, Step], ...]:
    """Parse sub-policies from lines of "operation probability magnitude, operation probability magnitude"."""
    pairs = []
    for line in text.strip().splitlines():
        first, second = (part.split() for part in line.split(","))
        pairs.append(((first[0], float(first[1]), int(first[2])), (second[0], float(second[1]), int(second[2]))))
    return tuple(pairs)


POLICIES = {
    "cifar10": policy("""
Invert 0.1 0, Contrast 0.2 6
Rotate 0.7 2, TranslateX 0.3 9
Sharpness 0.8 1, Sharpness 0.9 3
ShearY 0.5 8, TranslateY 0.7 9
AutoContrast 0.5 0, Equalize 0.9 0
ShearY 0.2 7, Posterize 0.3 7
Color 0.4 3, Brightness 0.6 7
Sharpness 0.3 9, Brightness 0.7 9
Equalize 0.6 0, Equalize 0.5 0
Contrast 0.6 7, Sharpness 0.6 5
Color 0.7 7, TranslateX 0.5 8
Equalize 0.3 0, AutoContrast 0.4 0
TranslateY 0.4 3, Sharpness 0.2 6
Brightness 0.9 6, Color 0.2 8
Solarize 0.5 2, Invert 0 0
Equalize 0.2 0, AutoContrast 0.6 0
Equalize 0.2 0, Equalize 0.6 0
Color 0.9 9, Equalize 0.6 0
AutoContrast 0.8 0, Solarize 0.2 8
Brightness 0.1 3, Color 0.7 0
Solarize 0.4 5, AutoContrast 0.9 0
TranslateY 0.9 9, TranslateY 0.7 9
AutoContrast 0.9 0, Solarize 0.8 3
Equalize 0.8 0, Invert 0.1 0
TranslateY 0.7 9, AutoContrast 0.9 0
"""),
    "svhn": policy("""
ShearX 0.9 4, Invert 0.2 0
ShearY 0.9 8, Invert 0.7 0
Equalize 0.6 0, Solarize 0.6 6
Invert 0.9 0, Equalize 0.6 0
Equalize 0.6 0, Rotate 0.9 3
ShearX 0.9 4, AutoContrast 0.8 0
ShearY 0.9 8, Invert 0.4 0
ShearY 0.9 5, Solarize 0.2 6
Invert 0.9 0, AutoContrast 0.8 0
Equalize 0.6 0, Rotate 0.9 3
ShearX 0.9 4, Solarize 0.3 3
ShearY 0.8 8, Invert 0.7 0
Equalize 0.9 0, TranslateY 0.6 6
Invert 0.9 0, Equalize 0.6 0
Contrast 0.3 3, Rotate 0.8 4
Invert 0.8 0, TranslateY 0 2
ShearY 0.7 6, Solarize 0.4 8
Invert 0.6 0, Rotate 0.8 4
ShearY 0.3 7, TranslateX 0.9 3
ShearX 0.1 6, Invert 0.6 0
Solarize 0.7 2, TranslateY 0.6 7
ShearY 0.8 4, Invert 0.8 0
ShearX 0.7 9, TranslateY 0.8 3
ShearY 0.8 5, AutoContrast 0.7 0
ShearX 0.7 2, Invert 0.1 0
"""),
    "imagenet": policy("""
Posterize 0.4 8, Rotate 0.6 9
Solarize 0.6 5, AutoContrast 0.6 0
Equalize 0.8 0, Equalize 0.6 0
Posterize 0.6 7, Posterize 0.6 6
Equalize 0.4 0, Solarize 0.2 4
Equalize 0.4 0, Rotate 0.8 8
Solarize 0.6 3, Equalize 0.6 0
Posterize 0.8 5, Equalize 1 0
Rotate 0.2 3, Solarize 0.6 8
Equalize 0.6 0, Posterize 0.4 6
Rotate 0.8 8, Color 0.4 0
Rotate 0.4 9, Equalize 0.6 0
Equalize 0 0, Equalize 0.8 0
Invert 0.6 0, Equalize 1 0
Color 0.6 4, Contrast 1 8
Rotate 0.8 8, Color 1 2
Color 0.8 8, Solarize 0.8 7
Sharpness 0.4 7, Invert 0.6 0
ShearX 0.6 5, Equalize 1 0
Color 0.4 0, Equalize 0.6 0
Equalize 0.4 0, Solarize 0.2 4
Solarize 0.6 5, AutoContrast 0.6 0
Invert 0.6 0, Equalize 1 0
Color 0.6 4, Contrast 1 8
Equalize 0.8 0, Equalize 0.6 0
"""),
}


@dataclass(frozen=True)
class DrawnOperations:
    """Random draws for the images of a batch."""

    sub_policy: Int64[Tensor, " b"]
    chance: Float64[Tensor, "b two"]  # in [0, 1); an operation acts if it is below its probability
    positive: Bool[Tensor, "b two"]  # the side of shears, translations, rotations and enhancements

    @classmethod
    def sample(cls, count: int, *, source: torch.Generator, policies: int = 25) -> "DrawnOperations":
        """Draw for `count` images from a CPU generator."""
        return cls(
            torch.randint(policies, (count,), generator=source),
            torch.rand(count, 2, generator=source, dtype=torch.float64),
            torch.randint(2, (count, 2), generator=source) == 1,
        )


def auto_augment(images: Images, name: str, draws: DrawnOperations) -> Images:
    """Return the images transformed by one of the published policies."""
    sub_policies = POLICIES[name]
    numbers = {operation: number for number, operation in enumerate(OPERATIONS)}
    for position in range(2):
        steps = [pair[position] for pair in sub_policies]
        chosen = draws.sub_policy
        probability = torch.tensor([step[1] for step in steps], dtype=torch.float64)[chosen]
        operation = torch.tensor([numbers[step[0]] for step in steps])[chosen]
        level = torch.tensor([step[2] for step in steps])[chosen]
        acts = draws.chance[:, position] < probability
        images = apply(images, torch.where(acts, operation, -1), level, draws.positive[:, position])
    return images


def apply(
    images: Images, operation: Int64[Tensor, " b"], level: Int64[Tensor, " b"], positive: Bool[Tensor, " b"]
) -> Images:
    """Apply to each image its own operation (-1: none). Parameters are on the CPU, images on any device."""
    out = images.clone()
    kinds = {name: operation == number for number, name in enumerate(OPERATIONS)}
    for chosen, change in (
        (torch.stack([kinds[name] for name in GEOMETRIC]).any(0), move),
        (torch.stack([kinds[name] for name in TABULAR]).any(0), remap),
        (kinds["Color"] | kinds["Sharpness"], enhance),
    ):
        rows = chosen.nonzero()[:, 0]
        if len(rows):
            on_device = rows.to(images.device)
            out[on_device] = change(images[on_device], operation[rows], level[rows], positive[rows])
    return out


def sign(positive: Bool[Tensor, " b"]) -> Float64[Tensor, " b"]:
    return positive.double() * 2 - 1


def enhancement(level: Int64[Tensor, " b"], positive: Bool[Tensor, " b"]) -> Tensor:
    """Return the factor of brightness, colour, contrast or sharpness: 1 plus or minus at most 0.9."""
    return (1 + sign(positive) * steps(0.0, 0.9)[level]).float()


def steps(start: float, end: float) -> Float64[Tensor, " levels"]:
    """Return ten evenly spaced magnitudes in float32, as torchvision does."""
    return torch.linspace(start, end, 10).double()


def enhance(
    images: Images, operation: Int64[Tensor, " b"], level: Int64[Tensor, " b"], positive: Bool[Tensor, " b"]
) -> Images:
    """Change the colour or the sharpness of each image."""
    factor = enhancement(level, positive).to(images.device)
    is_colour = (operation == OPERATIONS.index("Color")).to(images.device)[:, None, None, None]
    return torch.where(is_colour, op.coloured(images, factor), op.sharpened(images, factor))


def move(
    images: Images, operation: Int64[Tensor, " b"], level: Int64[Tensor, " b"], positive: Bool[Tensor, " b"]
) -> Images:
    """Shear, translate or rotate each image."""
    height, width = images.shape[2:]
    side = sign(positive)
    shear, across, down = (
        steps(0.0, 0.3)[level],
        steps(0.0, 150 / 331 * width)[level],
        steps(0.0, 150 / 331 * height)[level],
    )
    angle = -torch.deg2rad(side * steps(0.0, 30.0)[level])
    ones, zeros = torch.ones_like(side), torch.zeros_like(side)
    cos, sin = angle.cos(), angle.sin()
    middle_x, middle_y = width / 2, height / 2
    rotated = (
        cos, sin, middle_x - cos * middle_x - sin * middle_y,
        -sin, cos, middle_y + sin * middle_x - cos * middle_y,
    )  # fmt: skip
    by_name = {
        "ShearX": (ones, side * shear, zeros, zeros, ones, zeros),
        "ShearY": (ones, zeros, zeros, side * shear, ones, zeros),
        "TranslateX": (ones, zeros, -(side * across).trunc(), zeros, ones, zeros),
        "TranslateY": (ones, zeros, zeros, zeros, ones, -(side * down).trunc()),
        "Rotate": rotated,
    }
    candidates = torch.stack([torch.stack(by_name[name], dim=1) for name in GEOMETRIC])  # (operations, b, 6)
    matrices = candidates[operation, torch.arange(len(images))]
    return op.moved(images, matrices.to(images.device))


def remap(
    images: Images, operation: Int64[Tensor, " b"], level: Int64[Tensor, " b"], positive: Bool[Tensor, " b"]
) -> Images:
    """Map the pixel values of each image through its own lookup table."""
    device = images.device
    tables = torch.empty(*images.shape[:2], 256, dtype=torch.int64, device=device)
    makers: dict[str, Callable[[Tensor], Tensor]] = {
        "Brightness": lambda rows: op.brightened(enhancement(level[rows], positive[rows]).to(device)),
        "Contrast": lambda rows: op.contrasted(
            images[rows.to(device)], enhancement(level[rows], positive[rows]).to(device)
        ),
        "Posterize": lambda rows: op.posterized((8 - (level[rows] / (9 / 4)).round().long()).to(device)),
        "Solarize": lambda rows: op.solarized(steps(255.0, 0.0)[level[rows]].to(device)),
        "AutoContrast": lambda rows: op.autocontrasted(images[rows.to(device)]),
        "Equalize": lambda rows: op.equalized(images[rows.to(device)]),
        "Invert": lambda rows: op.inverted(len(rows), device),
    }
    for name, make in makers.items():
        rows = (operation == OPERATIONS.index(name)).nonzero()[:, 0]
        if len(rows):
            tables[rows.to(device)] = make(rows).expand(-1, images.shape[1], -1)
    return op.lookup(images, tables)
