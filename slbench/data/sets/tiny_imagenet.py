"""Tiny-ImageNet from its published archive.

Source: cs231n.stanford.edu/tiny-imagenet-200.zip: train/<wnid>/images/*.JPEG, val/images/*.JPEG with their
classes in val/val_annotations.txt, wnids.txt. Its `test` has no labels, so `val` is the test set.
"""

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from slbench.data.images.decode import Pixels, decode
from slbench.data.sets.archives import members
from slbench.data.splits import Sample
from slbench.errors import InputError

NUM_CLASSES = 200
TEST_IMAGES = 50  # of each class
SIDE = 64  # px


def load_tiny_imagenet(archive: Path) -> Iterator[Sample]:
    """Yield 100,000 training and 10,000 test images, (n, 3, 64, 64), classes in the order of their wnids."""
    texts = dict(members(archive, lambda name: name.endswith(("/wnids.txt", "/val_annotations.txt"))))
    wnids = sorted(text_of(texts, archive, "wnids.txt").split())
    annotated = annotations(archive, text_of(texts, archive, "val_annotations.txt"), wnids)
    number = {wnid: label for label, wnid in enumerate(wnids)}
    count = 0
    for name, content in members(archive, lambda name: name.endswith(".JPEG") and "/test/" not in name):
        path = PurePosixPath(name)
        if "/train/" in name:
            yield Sample("train", image(archive, name, content), number[path.parts[2]])
        elif path.name in annotated:
            count += 1
            yield Sample("test", image(archive, name, content), number[annotated[path.name]])
    if count != len(annotated):
        raise InputError(f"{archive}: {count} images under val, but {len(annotated)} annotated")


def text_of(texts: dict[str, bytes], archive: Path, name: str) -> str:
    contents = [content for path, content in texts.items() if PurePosixPath(path).name == name]
    if not contents:
        raise InputError(f"{archive}: has no file '{name}'")
    return contents[0].decode()


def annotations(archive: Path, text: str, wnids: list[str]) -> dict[str, str]:
    """Return the class of each val image by file name. Raises InputError unless 200 classes have 50 images each."""
    annotated = dict(line.split("\t")[:2] for line in text.splitlines() if line.strip())
    counts = Counter(annotated.values())
    if len(wnids) != NUM_CLASSES or any(counts[wnid] != TEST_IMAGES for wnid in wnids) or len(counts) != NUM_CLASSES:
        raise InputError(
            f"{archive}: {len(counts)} classes with {min(counts.values(), default=0)} to "
            f"{max(counts.values(), default=0)} images in val; expected {NUM_CLASSES} with {TEST_IMAGES} each"
        )
    return annotated


def image(archive: Path, name: str, content: bytes) -> Pixels:
    pixels = decode(io.BytesIO(content), "RGB", name=f"{archive}: {name}")
    if pixels.shape != (3, SIDE, SIDE):
        raise InputError(f"{archive}: {name}: {pixels.shape[1]} x {pixels.shape[2]} px; expected {SIDE} x {SIDE}")
    return pixels
