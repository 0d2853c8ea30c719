"""Small random data sets as npz files and as folders of PNGs."""

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

CLASSES = ("heron", "finch", "stork")  # unsorted, so that numbering by name shows


def made_arrays(
    *, train: int = 31, test: int = 11, val: int = 0, shape: tuple[int, ...] = (17, 19, 3), seed: int = 5
) -> dict[str, np.ndarray]:
    """Return the arrays of a user's npz file: random images, every class, in no order."""
    draw = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {"classes": np.array(CLASSES)}
    for part, count in (("train", train), ("val", val), ("test", test)):
        if count:
            arrays[f"{part}_images"] = draw.integers(0, 256, (count, *shape), dtype=np.uint8)
            arrays[f"{part}_labels"] = draw.permutation(np.arange(count) % len(CLASSES))
    return arrays


def write_npz(path: Path, arrays: Mapping[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


def write_folder(root: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write the images as PNG files such as train/heron/7.png."""
    names = arrays["classes"].tolist()
    for part in ("train", "val", "test"):
        for number, image in enumerate(arrays.get(f"{part}_images", ())):
            folder = root / part / names[int(arrays[f"{part}_labels"][number])]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number}.png")
    return root


def idx(array: np.ndarray) -> bytes:
    """Return an array in the format of MNIST."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + b"".join(struct.pack(">I", side) for side in array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def pictures(count: int, *, channels: int = 3, size: tuple[int, int] = (13, 17)) -> torch.Tensor:
    """Return noise, ramps of few values and constant images, so that lookup tables vary."""
    source = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (count, channels, *size), dtype=torch.uint8, generator=source)
    noise[1::4] = noise[1::4] // 9 + 100
    noise[2::4] = torch.arange(size[1], dtype=torch.uint8) * 3
    noise[3::8] = 77
    return noise
