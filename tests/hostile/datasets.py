"""Data sets of users: npz files and folders of images, read by `data info`."""

import io
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.hostile.case import Expected, Prepare, Table, file
from tests.hostile.studies import fifo, folder_named, link

NPZ, FOLDER = ("data", "info", "npz:x.npz"), ("data", "info", "folder:x")
Arrays = dict[str, np.ndarray]


def arrays(count: int = 20, shape: tuple[int, ...] = (8, 8)) -> Arrays:
    """Return the arrays of a valid file with two classes."""
    images = np.arange(count * int(np.prod(shape))).reshape(count, *shape) % 251
    made: Arrays = {}
    for part in ("train", "test"):
        made[f"{part}_images"] = images.astype(np.uint8)
        made[f"{part}_labels"] = np.arange(count) % 2
    return made


def changed(**changes: Any) -> Prepare:
    """Return a preparation of x.npz with changed arrays; None removes one, a function changes it."""

    def write(folder: Path) -> None:
        content: dict[str, Any] = dict(arrays())
        for name, change in changes.items():
            if change is None:
                del content[name]
            else:
                content[name] = change(content[name]) if callable(change) else change
        np.savez(folder / "x.npz", **content)

    return write


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(text: str, version: tuple[int, int] = (1, 0), body: bytes = bytes(100)) -> bytes:
    """Return an npy file with this header."""
    content = text.encode() + b"\n"
    size = struct.pack("<H" if version[0] == 1 else "<I", len(content))
    return b"\x93NUMPY" + bytes(version) + size + content + body


def members(change: Callable[[dict[str, bytes]], Any], compression: int = zipfile.ZIP_STORED) -> Prepare:
    """Return a preparation of x.npz with changed members; a change may return further (name, content) pairs."""

    def write(folder: Path) -> None:
        content = {f"{name}.npy": npy(array) for name, array in arrays().items()}
        more = change(content) or ()
        with zipfile.ZipFile(folder / "x.npz", "w", compression) as archive:
            for name, data in [*content.items(), *more]:
                archive.writestr(name, data)

    return write


def with_header(text: str, name: str = "train_images", version: tuple[int, int] = (1, 0)) -> Prepare:
    return members(lambda content: content.update({f"{name}.npy": npy_header(text, version)}))


def bomb(name: str, shape: str, size: int) -> Prepare:
    """Return a preparation of x.npz with a member of zeros that is tiny when packed."""

    def write(folder: Path) -> None:
        with zipfile.ZipFile(folder / "x.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for other, array in arrays().items():
                if other != name:
                    archive.writestr(f"{other}.npy", npy(array))
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(npy_header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}", body=b""))
                for _ in range(size // 2**20):
                    member.write(bytes(2**20))

    return write


def bytes_of(change: Callable[[bytes], bytes]) -> Prepare:
    """Return a preparation of x.npz with changed bytes."""

    def write(folder: Path) -> None:
        changed()(folder)
        (folder / "x.npz").write_bytes(change((folder / "x.npz").read_bytes()))

    return write


OBJECTS = np.array([{"a": 1}] * 20, dtype=object)
BAD_NPZ: Mapping[str, Prepare] = {
    "empty": file("x.npz", b""),
    "text": file("x.npz", "not an npz"),
    "random bytes": file("x.npz", bytes(range(256)) * 40),
    "npy, not npz": file("x.npz", npy(np.zeros(3))),
    "zip without members": members(lambda content: content.clear()),
    "cut in half": bytes_of(lambda content: content[: len(content) // 2]),
    "cut by a byte": bytes_of(lambda content: content[:-1]),
    "first byte changed": bytes_of(lambda content: b"X" + content[1:]),
    "flipped byte in the images": bytes_of(lambda content: content[:300] + bytes([content[300] ^ 1]) + content[301:]),
    "pickle": file(
        "x.npz", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."
    ),
    "no test images": changed(test_images=None),
    "no labels": changed(train_labels=None),
    "objects in place of images": changed(train_images=OBJECTS),
    "objects in place of labels": changed(train_labels=OBJECTS),
    "objects in place of classes": changed(classes=OBJECTS[:2]),
    "floats": changed(train_images=lambda images: images / 255),
    "signed bytes": changed(train_images=lambda images: images.astype(np.int8)),
    "booleans": changed(train_images=lambda images: images > 9),
    "text in place of images": changed(train_images=np.array(["a"] * 20)),
    "one image too few": changed(train_images=lambda images: images[1:]),
    "no images": changed(train_images=lambda images: images[:0]),
    "no images and labels": changed(train_images=lambda images: images[:0], train_labels=lambda labels: labels[:0]),
    "two dimensions": changed(train_images=lambda images: images[:, 0]),
    "five dimensions": changed(train_images=lambda images: images[..., None, None]),
    "width 0": changed(train_images=lambda images: images[:, :, :0]),
    "channels first": changed(
        train_images=np.zeros((20, 3, 8, 8), np.uint8), test_images=np.zeros((20, 3, 8, 8), np.uint8)
    ),
    "other size in the test images": changed(test_images=np.zeros((20, 9, 8), np.uint8)),
    "seven channels": changed(
        train_images=np.zeros((20, 8, 8, 7), np.uint8), test_images=np.zeros((20, 8, 8, 3), np.uint8)
    ),
    "label -1": changed(train_labels=lambda labels: labels - 1),
    "label 2**63": changed(train_labels=lambda labels: labels.astype(np.uint64) + 2**63),
    "label 1e9": changed(train_labels=lambda labels: labels * 10**9),
    "labels as floats": changed(train_labels=lambda labels: labels + 0.5),
    "labels as nan": changed(train_labels=lambda labels: labels * np.nan),
    "labels as text": changed(train_labels=lambda labels: labels.astype(str)),
    "labels as booleans": changed(train_labels=lambda labels: labels == 1),
    "labels of two columns": changed(train_labels=lambda labels: np.stack([labels, labels], 1)),
    "labels as dates": changed(train_labels=np.array(["2025-01-01"] * 20, dtype="datetime64[D]")),
    "one class only": changed(train_labels=lambda labels: labels * 0, test_labels=lambda labels: labels * 0),
    "test label without training images": changed(test_labels=lambda labels: labels + 1),
    "classes: too few": changed(classes=np.array(["a"])),
    "classes: twice": changed(classes=np.array(["a", "a"])),
    "classes: a class without images": changed(classes=np.array(["a", "b", "c"])),
    "classes: floats": changed(classes=np.array([0.5, 1.5])),
    "classes: not UTF-8": changed(classes=np.array([b"\xff", b"\xfe"])),
    "classes: two dimensions": changed(classes=np.array([["a", "b"]])),
    "records": changed(train_images=np.zeros(20, dtype=[("a", "u1"), ("b", "u1")])),
    "image side of 100,000": changed(train_images=np.zeros((1, 100_000, 1), np.uint8), train_labels=np.zeros(1, int)),
    "validation labels without images": changed(val_labels=np.zeros(20, int)),
    "shape larger than the file": with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (20, 99999, 99999)}"),
    "shape of 20 digits": with_header(
        "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999, 8, 8)}"
    ),
    "negative shape": with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 8, 8)}"),
    "shape of text": with_header("{'descr': '|u1', 'fortran_order': False, 'shape': 'abc'}"),
    "type unknown": with_header("{'descr': '|Q9', 'fortran_order': False, 'shape': (20, 8, 8)}"),
    "code in the header": with_header("__import__('os').system('touch pwned')"),
    "code in the shape": with_header(
        "{'descr': '|u1', 'fortran_order': False, 'shape': __import__('os').system('touch pwned')}"
    ),
    "deep header": with_header("(" * 2_000 + ")" * 2_000),
    "deep header of version 2": with_header("[" * 9_000, version=(2, 0)),
    "header of 60,000 characters": with_header(" " * 60_000),
    "npy version 9": with_header("{}", version=(9, 9)),
    "labels larger than the file": with_header(
        "{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999,)}", name="train_labels"
    ),
    "labels of 3 GB when unpacked": bomb("train_labels", "(3221225472,)", 3 * 2**30),
    "classes of 3 GB when unpacked": bomb("classes", "(3221225472,)", 3 * 2**30),
    "images of 3 GB, one label too few": bomb("train_images", "(3145728, 32, 32)", 3 * 2**30),
    "member twice": members(lambda content: [("train_labels.npy", npy(np.zeros(20, int)))]),
    "member twice, other images": members(lambda content: [("train_images.npy", npy(np.zeros((20, 8, 8), np.uint8)))]),
    "FIFO": fifo("x.npz"),
    "folder": folder_named("x.npz"),
    "link to itself": link("x.npz", "x.npz"),
    "link to /dev/zero": link("x.npz", "/dev/zero"),
    "missing": lambda folder: None,
}
GOOD_NPZ: Mapping[str, Prepare] = {
    "plain": changed(),
    "labels of one column": changed(train_labels=lambda labels: labels[:, None]),
    "three channels": changed(
        train_images=np.zeros((20, 8, 8, 3), np.uint8), test_images=np.zeros((20, 8, 8, 3), np.uint8)
    ),
    "Fortran order": changed(train_images=np.asfortranarray),
    "big-endian labels": changed(train_labels=lambda labels: labels.astype(">i8")),
    "byte labels": changed(train_labels=lambda labels: labels.astype(np.uint8)),
    "named classes": changed(classes=np.array(["b", "a"])),
    "unused array": changed(weights=np.zeros(3)),
    "unused objects": changed(extra=OBJECTS),
    "unused path": members(lambda content: [("../../pwned.npy", npy(np.zeros(3)))]),
    "compressed": members(lambda content: None, zipfile.ZIP_DEFLATED),
}


def png(value: int = 9, size: tuple[int, int] = (8, 8), mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value,) * len(mode)).save(buffer, "PNG")
    return buffer.getvalue()


def images(folder: Path) -> None:
    """Write two classes of ten images."""
    for number in range(20):
        file(f"x/{'ab'[number % 2]}/{number}.png", png(number * 9))(folder)


def bomb_png(folder: Path) -> None:
    """Write an image whose header says 60,000 x 60,000 pixels."""
    content = bytearray(png())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    import zlib

    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    file("x/a/0.png", bytes(content))(folder)


BAD_FOLDERS: Mapping[str, tuple[Prepare, ...]] = {
    "missing": (),
    "empty": (folder_named("x"),),
    "a file": (file("x", "x"),),
    "FIFO": (fifo("x"),),
    "link to itself": (link("x", "x"),),
    "no images in a class": (images, folder_named("x/c")),
    "one class": (file("x/a/0.png", png()), file("x/a/1.png", png())),
    "images without classes": (file("x/0.png", png()),),
    "broken link to an image": (images, link("x/a/z.png", "none.png")),
    "image that links to itself": (images, link("x/a/z.png", "z.png")),
    "text named png": (images, file("x/a/z.png", "text")),
    "empty image": (images, file("x/a/z.png", b"")),
    "cut image": (images, file("x/a/z.png", png(size=(64, 64))[:-20])),
    "image of 60,000 px": (images, bomb_png),
    "other sizes": (images, file("x/a/z.png", png(size=(9, 8)))),
    "train without test": (file("x/train/a/0.png", png()), file("x/train/b/0.png", png())),
    "class of test that train lacks": tuple(
        file(f"x/{name}/0.png", png()) for name in ("train/a", "train/b", "test/c")
    ),
    "TIFF that is a PostScript": (images, file("x/a/z.tiff", b"%!PS-Adobe\n(pwned) (w) file\n")),
}
SAID_FOLDERS: Mapping[str, tuple[tuple[Prepare, ...], str]] = {  # read without it, and the output says so
    "loop in a class": ((images, link("x/a/loop", ".")), "loop"),
    "loop to the parent in a class": ((images, link("x/a/up", "..")), "up"),
    "class that is the root": ((images, link("x/c", "..")), "'c'"),
    "class that is /": ((images, link("x/c", "/")), "'c'"),
    "class that links to itself": ((images, link("x/c", "c")), "'c'"),
    "image that links to /dev/zero": ((images, link("x/a/z.png", "/dev/zero")), "z.png"),
    "image that is a FIFO": ((images, fifo("x/a/z.png")), "z.png"),
    "image that is a folder": ((images, folder_named("x/a/z.png")), "z.png"),
    "animated image of 0 frames": ((images, file("x/a/z.gif", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;")), "z.gif"),
    "hidden class": ((images, file("x/.hidden/0.png", png())), ".hidden"),
    "hidden image": ((images, file("x/a/.z.png", png())), ".z.png"),
    "skipped suffix": ((images, file("x/a/z.txt", "text")), "z.txt"),
    "image linked twice": ((images, link("x/a/z.png", "0.png")), "z.png"),
    "image linked in another class": ((images, link("x/b/z.png", "../a/0.png")), "z.png"),
    "hard link": ((images, lambda folder: os.link(folder / "x/a/0.png", folder / "x/a/z.png")), "z.png"),
}
GOOD_FOLDERS: Mapping[str, tuple[Prepare, ...]] = {
    "plain": (images,),
    "deep": (images, file("x/a/b/c/d/0.png", png(3))),
    "names of odd characters": (
        images,
        file("x/$(touch pwned)\n;/0.png", png(3)),
        file("x/$(touch pwned)\n;/1.png", png(4)),
    ),
}


def npz_files() -> Table:
    table = Table("npz files")
    for name, prepare in BAD_NPZ.items():
        table.add(name, NPZ, Expected.REFUSED, prepare)
    for name, prepare in GOOD_NPZ.items():
        table.add(name, NPZ, Expected.ACCEPTED, prepare)
    return table


def image_folders() -> Table:
    table = Table("folders of images")
    for name, prepare in BAD_FOLDERS.items():
        table.add(name, FOLDER, Expected.REFUSED, *prepare)
    for name, (prepare, word) in SAID_FOLDERS.items():
        table.add(name, FOLDER, Expected.HANDLED, *prepare, words=(word,))
    for name, prepare in GOOD_FOLDERS.items():
        table.add(name, FOLDER, Expected.ACCEPTED, *prepare)
    return table
