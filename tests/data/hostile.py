"""Hostile data sets and odd files, each with what is expected of it.

`python -m tests.data.hostile NAME` reads one of them and prints what happened.
"""

import io
import os
import pickle
import socket
import struct
import sys
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import scipy.io
from PIL import Image, PngImagePlugin

from slbench.data import DATASETS, DataConfig, find, load
from slbench.data.sets.local import raw
from tests.data.made import idx, made_arrays, write_folder

MIB = 2**20
ARRAYS = made_arrays(train=9, test=6, shape=(5, 7, 3))


@dataclass(frozen=True)
class Case:
    """A data set and what reading it must do.

    Attributes:
        build: writes it into an empty folder and returns its name, or the name of a published set.
        refused: parts of the error; empty: it is read.
        noted: parts of the line about what is left out.
        images: number of training images.
        max_mib: memory that reading may take; None: not measured.
    """

    build: Callable[[Path], str]
    refused: tuple[object, ...] = ()
    noted: tuple[object, ...] = ()
    images: int = 9
    max_mib: int | None = None
    slow: bool = False


CASES: dict[str, Case] = {}
LIMIT: dict[str, Any] = {"max_mib": 64}


def add(name: str, build: Callable[[Path], str], *refused: object, **expected: Any) -> None:
    assert name not in CASES
    CASES[name] = Case(build, refused, **(LIMIT if expected.get("slow") else {}) | expected)


def read(name: str) -> int:
    """Read a data set to the end and return its number of training images."""
    if name in DATASETS:
        entry = DATASETS[name]
        return sum(sample.part == "train" for sample in raw(entry, entry.spec, DataConfig.read()).samples)
    resolved = find(name)
    return len(load(resolved.spec, resolved.source).train)


# npz files


def as_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def npy(header: str | bytes, *, version: int = 1) -> bytes:
    """Return an npy file of this header, without data."""
    content = header.encode() if isinstance(header, str) else header
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(content)) + content


def stating(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    return npy(f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}\n")


def write_npz(folder: Path, changes: Mapping[str, Any], *, sizes: Mapping[str, int] | None = None, **how: Any) -> str:
    """Write an npz file by hand.

    Args:
        changes: other arrays, or bytes of members, by name; None: left out.
        sizes: unpacked sizes that the directory states in place of the true ones.
        how: see `zipfile.ZipFile`.
    """
    with zipfile.ZipFile(folder / "birds.npz", "w", **how) as archive:
        for name, array in {**ARRAYS, **changes}.items():
            if array is not None:
                archive.writestr(f"{name}.npy", array if isinstance(array, bytes) else as_npy(array))
        for info in archive.filelist:
            info.file_size = (sizes or {}).get(info.filename.removesuffix(".npy"), info.file_size)
    return f"npz:{folder}/birds.npz"


def changed(**changes: Any) -> Callable[[Path], str]:
    return lambda folder: write_npz(folder, changes)


def huge(member: str, shape: tuple[int, ...], descr: str = "|u1", **others: Any) -> Callable[[Path], str]:
    """Return a writer of a file whose directory and header agree on an array of this size, which is not there."""
    start = stating(shape, descr)
    size = len(start) + int(np.dtype(descr).itemsize) * int(np.prod(np.array(shape, dtype=object)))
    return lambda folder: write_npz(folder, {member: start, **others}, sizes={member: size})


def bomb(name: str, mib: int) -> Callable[[Path], str]:
    """Return a writer of zeros as labels, packed to a thousandth."""

    def write(folder: Path) -> str:
        write_npz(folder, {name: None})
        how: dict[str, Any] = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1}
        with (
            zipfile.ZipFile(folder / "birds.npz", "a", **how) as archive,
            archive.open(f"{name}.npy", "w", force_zip64=True) as member,
        ):
            member.write(stating((mib * MIB // 8, 1), "<f8"))
            for _ in range(mib):
                member.write(bytes(MIB))
        return f"npz:{folder}/birds.npz"

    return write


def header_bomb(folder: Path) -> str:
    content = npy(bytes(100 * MIB), version=2)
    return write_npz(folder, {"train_labels": content}, compression=zipfile.ZIP_DEFLATED, compresslevel=1)


def twice(other: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        name = write_npz(folder, {})
        with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(folder / "birds.npz", "a") as archive:
            archive.writestr(zipfile.ZipInfo(other), as_npy(ARRAYS["train_labels"][::-1]))
        return name

    return write


def patched(change: Callable[[bytearray], object], **how: Any) -> Callable[[Path], str]:
    """Return a writer of a valid file whose bytes are changed afterwards."""

    def write(folder: Path) -> str:
        name, path = write_npz(folder, {}, **how), folder / "birds.npz"
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(content)
        return name

    return write


def set_everywhere(content: bytearray, signature: bytes, offset: int, value: int) -> None:
    """Set 16 bits after each signature of a zip file."""
    start = content.find(signature)
    while start >= 0:
        struct.pack_into("<H", content, start + offset, value)
        start = content.find(signature, start + 4)


def special(kind: str, path: Path) -> Path:
    """Create a FIFO, device (as a link), socket or folder."""
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening, chdir(path.parent):
            listening.bind(path.name)
    else:
        path.mkdir()
    return path


def special_dataset(reader: str, kind: str) -> Callable[[Path], str]:
    return lambda folder: f"{reader}:{special(kind, folder / 'x')}"


def special_archive(kind: str) -> Callable[[Path], object]:
    return lambda path: special(kind, path)


@contextmanager
def chdir(folder: Path) -> Iterator[None]:
    """Work in a folder, as names of sockets are at most 107 bytes long."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


for kind, words in {"FIFO": "FIFO", "device": "device", "socket": "socket", "folder": "Is a directory"}.items():
    add(f"npz: {kind}", special_dataset("npz", kind), "x", words)
add("npz: /dev/zero", lambda folder: "npz:/dev/zero", "/dev/zero", "device")
add("npz: labels of 3 GB", bomb("train_labels", 3000), "train_labels", "(9,)", slow=True)
add("npz: labels of 200 MB", bomb("test_labels", 200), "test_labels", "(6,)", slow=True)
add("npz: header of 100 MB", header_bomb, "npz file", slow=True)
add("npz: images of 160 TB", huge("train_images", (9, 4096, 4096, 10**6)), "birds.npz", "free memory")
LABELS = huge("train_images", (10**12, 1, 1, 3))
add("npz: a trillion images", LABELS, "train_labels", "(1000000000000,)")
many = huge("train_images", (10**7, 4096, 4096, 3), train_labels=np.zeros(10**7, dtype=np.uint8))
add("npz: images larger than the disk", many, "not enough space", "--data-root", max_mib=200)
add("npz: class names of 18 GB", huge("classes", (9,), "<U500000000"), "classes", "free memory")
add("npz: more classes than images", changed(classes=np.arange(10**5)), "classes", 9, "100,000")
add("npz: class names of 5000 digits", changed(classes=np.array(["1" * 5000, "2", "3"])), "classes", 255, 5000)
add("npz: class names that are no text", changed(classes=np.array([b"\xff", b"b", b"c"])), "birds.npz")
add("npz: names in two dimensions", changed(classes=np.array([["a", "b", "c"]])), "classes", "(1, 3)")
add("npz: duplicate member", twice("train_labels.npy"), "train_labels", "two")
add("npz: duplicate member without suffix", twice("train_labels"), "train_labels", "two")
objects = np.array([None] * 9, dtype=object)
add("npz: labels of objects", changed(train_labels=objects), "train_labels", "objects")
add("npz: images of objects", changed(train_images=objects), "train_images", "objects")
add("npz: names of objects", changed(classes=np.array(["a", "b", None], dtype=object)), "classes", "objects")
for name, header in {
    "nested brackets": "(" * 5000,
    "nested lists": "{'descr': " + "[" * 90 + "]" * 90 + ", 'fortran_order': False, 'shape': (9,)}",
    "no dictionary": "[1, 2, 3]\n",
    "open text": "{'descr': '|u1",
    "nothing": "",
    "an unknown type": "{'descr': 'zzz', 'fortran_order': False, 'shape': (9,)}",
    "a fraction as shape": "{'descr': '|u1', 'fortran_order': False, 'shape': (9.5,)}",
    "a negative shape": "{'descr': '|u1', 'fortran_order': False, 'shape': (-9, -1)}",
    "a shape beyond 64 bits": f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({2**70},)}}",
    "a call": "{'descr': exit(7), 'fortran_order': False, 'shape': (9,)}",
}.items():
    add(f"npz: header with {name}", changed(train_labels=npy(header)), "birds.npz", "npz file")
add("npz: unknown version of a header", changed(train_labels=npy("", version=9)), "birds.npz", "npz file")
add("npz: complex labels", changed(train_labels=np.zeros(9, dtype=complex)), "train_labels", "complex128")
add("npz: dates as labels", changed(train_labels=np.zeros(9, dtype="M8[s]")), "train_labels", "datetime64")
add("npz: truth values as labels", changed(train_labels=np.zeros(9, dtype=bool)), "train_labels", "bool")
records = np.zeros(9, dtype=[("a", "u1"), ("b", "u1")])
add("npz: records as labels", changed(train_labels=records), "train_labels", "integers")
add("npz: no images", changed(train_images=np.zeros((0, 5, 7, 3), dtype=np.uint8)), "train_images", "(0, 5, 7, 3)")
add("npz: images of no size", changed(train_images=np.zeros((9, 0, 7), dtype=np.uint8)), "train_images", "(9, 0, 7)")
add("npz: encrypted", patched(lambda zipped: set_everywhere(zipped, b"PK\1\2", 8, 1)), "birds.npz")
add("npz: unknown compression", patched(lambda zipped: set_everywhere(zipped, b"PK\1\2", 10, 77)), "birds.npz")
lzma_damaged = patched(lambda zipped: zipped.__setitem__(slice(80, 90), bytes(10)), compression=zipfile.ZIP_LZMA)
add("npz: damaged LZMA", lzma_damaged, "birds.npz")
add("npz: cut in half", patched(lambda zipped: zipped.__delitem__(slice(len(zipped) // 2, None))), "birds.npz")
add("npz: empty file", patched(lambda zipped: zipped.clear()), "birds.npz")
add("npz: Fortran order larger than memory", huge("train_images", (9, 4096, 4096, 4096)), "birds.npz", "free memory")


# Folders


def folder_with(change: Callable[[Path], object], *, splits: bool = True) -> Callable[[Path], str]:
    """Return a writer of PNGs to which something is added below the classes' folder."""

    def write(folder: Path) -> str:
        root = write_folder(folder / "birds", ARRAYS)
        change(root / "train")
        return f"folder:{root if splits else root / 'train'}"

    return write


def links(*pairs: tuple[str, str]) -> Callable[[Path], str]:
    """Return a writer of links (name, target) below train/."""

    def change(train: Path) -> None:
        for name, target in pairs:
            (train / name).parent.mkdir(parents=True, exist_ok=True)
            (train / name).symlink_to(target)

    return folder_with(change)


def ladder(train: Path) -> None:
    """Add 12 folders, each with two links to the next: 4,096 ways to one image."""
    steps = train.parent.parent / "steps"
    for number in range(12):
        (steps / str(number)).mkdir(parents=True)
        for side in "ab":
            (steps / str(number) / side).symlink_to(steps / str(number + 1))
    (steps / "12").mkdir()
    Image.new("RGB", (7, 5)).save(steps / "12" / "last.png")
    (train / "finch" / "steps").symlink_to(steps / "0")


def self_link(folder: Path) -> str:
    (folder / "x").symlink_to("x")
    return f"folder:{folder}/x"


def hard_links(train: Path) -> None:
    first = sorted((train / "finch").iterdir())[0]
    os.link(first, train / "heron" / "same.png")


def several(train: Path) -> None:
    """Add hidden folders and files, files of other types and a loose image."""
    for name in (".git", ".cache"):
        (train / name).mkdir()
    for name in (".DS_Store", "README.md", "loose.png"):
        (train / name).touch()
    for number in range(5):
        (train / "finch" / f"{number}.txt").touch()
    (train.parent / "extra").mkdir()


def odd_files(train: Path) -> None:
    for kind in ("FIFO", "device", "socket"):
        special(kind, train / "finch" / f"{kind}.png")


def odd_folders(train: Path) -> None:
    (train / "finch" / "x.png").mkdir()
    (train / "finch" / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", (7, 5)).save(train / "finch" / ".ipynb_checkpoints" / "1.png")


add("folder: link to its own folder", links(("finch/loop", ".")), noted=("looping link", "finch/loop"))
add("folder: class that contains the classes", links(("c", "..")), noted=("looping link", "train/c"))
add("folder: class that is the file system", links(("c", "/")), noted=("looping link", "train/c"))
add("folder: class that is a link to itself", links(("c", "c")), noted=("broken link", "train/c"))
add("folder: two links to each other", links(("c", "d"), ("d", "c")), noted=("2 broken links", "train/c", "train/d"))
mutual = links(("finch/x", "../heron"), ("heron/y", "../finch"))
add("folder: classes in each other", mutual, noted=("6 repeated images", "2 repeated folders"), images=15)
add(
    "folder: a folder linked twice",
    links(("finch/x", "../heron"), ("finch/y", "../heron")),
    noted=("repeated",),
    images=12,
)
add("folder: ladder of links", folder_with(ladder), noted=("12 repeated folders",), images=10)
add("folder: a class under two names", links(("c", "finch")), noted=("3 repeated images", "="), images=12)
add("folder: hard link into another class", folder_with(hard_links), noted=("repeated image", "="), images=10)
add(
    "folder: hidden, loose and other files",
    folder_with(several),
    noted=("2 hidden folders", ".git", "hidden file", "6 non-image files", "...", "loose image", "unused folder"),
)
add("folder: FIFO, device and socket as images", folder_with(odd_files), noted=("FIFO", "device", "socket", "FIFO.png"))
add("folder: folders as images", folder_with(odd_folders), noted=("image-named folder", "hidden subfolder"), images=10)
add("folder: broken link to an image", links(("finch/x.png", "gone.png")), "x.png", "broken link")
add("folder: broken link to a class", links(("gone", "nowhere")), noted=("broken link", "gone"))
add("folder: class without images", folder_with(lambda train: (train / "emu").mkdir()), "emu", "no images")
control = folder_with(lambda train: (train / "finch" / "a\nb\x1b[31m.txt").touch())
add("folder: control characters in a name", control, noted=(r"a\nb\x1b[31m.txt",))
undecodable = folder_with(lambda train: Path(os.fsdecode(os.fsencode(train / "finch") + b"/\xff.txt")).touch())
add("folder: name that is not UTF-8", undecodable, noted=("non-image file",))
outside = folder_with(lambda train: (train / "emu").symlink_to((train / "finch").rename(train.parent / "away")))
add("folder: class linked from elsewhere", outside, "test", "finch")
for kind in ("FIFO", "device"):
    add(f"folder: {kind}", special_dataset("folder", kind), "x", "not a folder")
add("folder: link to itself", self_link, "x")


# Images


def image_file(content: bytes | Image.Image, *, format: str = "PNG", **options: Any) -> Callable[[Path], str]:
    """Return a writer of a folder with one more image."""
    file = io.BytesIO(content if isinstance(content, bytes) else b"")
    if not isinstance(content, bytes):
        content.save(file, format, **options)
    return folder_with(lambda train: (train / "finch" / "odd.png").write_bytes(file.getvalue()))


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 2) -> bytes:
    """Return a PNG of this header and these chunks."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", head), *chunks)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def text_bomb() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("x", "a" * (20 * MIB), zip=True)
    file = io.BytesIO()
    Image.new("RGB", (7, 5)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 7 5\n%%EndComments\n(x) (w) file closefile\nshowpage\n"
RGB = Image.new("RGB", (7, 5))
frames = [Image.new("P", (7, 5), number) for number in range(3)]
add("image: 16 bits", image_file(Image.new("I;16", (7, 5))), "odd.png", "I;16", "8 bits")
add("image: float", image_file(Image.new("F", (7, 5)), format="TIFF"), "odd.png", "F", "8 bits")
add("image: transparency in one", image_file(Image.new("RGBA", (7, 5))), "transparency")
add("image: CMYK", image_file(Image.new("CMYK", (7, 5)), format="JPEG"), images=10)
add("image: palette", image_file(Image.new("P", (7, 5))), images=10)
add("image: one bit", image_file(Image.new("1", (7, 5))), images=10)
add("image: animated GIF", image_file(frames[0], format="GIF", save_all=True, append_images=frames[1:]), images=10)
add("image: animated WebP", image_file(RGB, format="WEBP", save_all=True, append_images=[RGB]), images=10)
add("image: empty file", image_file(b""), "odd.png", "not a readable image")
add("image: text", image_file(b"nothing"), "odd.png", "not a readable image")
add("image: EPS, which would start a program", image_file(EPS), "odd.png", "not a readable image")
add("image: 100 megapixels", image_file(png(10_000, 10_000, (b"IDAT", b""))), "odd.png", "64,000,000 pixels")
add("image: 4 gigapixels", image_file(png(65_535, 65_535, (b"IDAT", b""))), "odd.png", "64,000,000 pixels")
add("image: a side beyond 32 bits", image_file(png(2**32 - 1, 2**32 - 1)), "odd.png")
add("image: cut", image_file(png(7, 5, (b"IDAT", zlib.compress(bytes(range(110)))[:50]))), "odd.png", "damaged")
add("image: unpacks to more than its size", image_file(png(7, 5, (b"IDAT", zlib.compress(bytes(5 * MIB))))), images=10)
add("image: text chunk of 20 MB", lambda folder: image_file(text_bomb())(folder), "odd.png", slow=True)
add("image: PPM of 10^18 pixels", image_file(b"P6\n999999999 999999999\n255\n"), "odd.png")
add("image: TIFF that points at itself", image_file(b"II*\0\x08\0\0\0\0\0\x08\0\0\0"), "odd.png")


# Published sets


def published(name: str, *contents: bytes | Callable[[Path], object]) -> Callable[[Path], str]:
    """Return a writer of the archives of a published set, as bytes or by a function of the path."""

    def write(folder: Path) -> str:
        place = folder / "root" / name
        place.mkdir(parents=True)
        for archive, content in zip(DATASETS[name].archives, contents, strict=True):
            path = place / archive.name
            _ = path.write_bytes(content) if isinstance(content, bytes) else content(path)
        return name

    return write


def later(content: Callable[[], bytes]) -> Callable[[Path], object]:
    """Return a writer of a large archive, which is made when it is needed."""
    return lambda path: path.write_bytes(content())


def tar(*members: tuple[str, bytes | tuple[bytes, int]]) -> bytes:
    """Return a tar file of these names with their content, or with a type and a stated size."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.size = content
                archive.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))
                archive.fileobj.write(bytes(min(info.size, 100 * MIB)) if info.size > 0 else b"")
    return file.getvalue()


def zipped(*members: tuple[str, bytes], sizes: Mapping[str, int] | None = None) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
        for info in archive.filelist:
            info.file_size = (sizes or {}).get(info.filename, info.file_size)
    return file.getvalue()


def cifar(data: Any, labels: Any) -> bytes:
    """Return CIFAR-100 with this training batch."""
    test = {"data": np.zeros((2, 3072), dtype=np.uint8), "fine_labels": [0, 1]}
    train = {"data": data, "fine_labels": labels}
    return tar(*((f"c/{name}", pickle.dumps(part, 2)) for name, part in (("train", train), ("test", test))))


def matlab(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(cast(Any, file), arrays, do_compression=True)
    return file.getvalue()


PIXELS = np.zeros((2, 3072), dtype=np.uint8)
DIGITS = matlab(X=np.zeros((32, 32, 3, 2), dtype=np.uint8), y=np.array([[1], [10]], dtype=np.uint8))
TRAIN, LABEL = idx(np.zeros((3, 28, 28))), idx(np.zeros(3))
shared: list[Any] = [0] * 10
for _ in range(9):
    shared = [shared] * 10
for kind, words in {"FIFO": "FIFO", "device": "device", "folder": "Is a directory"}.items():
    for name in ("cifar10", "tiny-imagenet"):
        add(f"{name}: {kind}", published(name, special_archive(kind)), name, words)
    svhn = published("svhn", special_archive(kind), DIGITS)
    add(f"svhn: {kind}", svhn, "svhn", words)
    fashion = published("fashion-mnist", special_archive(kind), LABEL, TRAIN, LABEL)
    add(f"fashion-mnist: {kind}", fashion, "fashion-mnist", words)
add("cifar100: as published", published("cifar100", cifar(PIXELS, [3, 4])), images=2)
add("cifar100: member twice", published("cifar100", tar(("c/x", b""), ("c/x", b""))), "c/x", "twice")
long_name = later(lambda: tar(("x", (tarfile.GNUTYPE_LONGNAME, 100 * MIB))))
add("cifar100: member with a name of 100 MB", published("cifar100", long_name), "cifar100", "damaged", slow=True)
for label, member in {"a FIFO": tarfile.FIFOTYPE, "a device": tarfile.CHRTYPE, "a hard link": tarfile.LNKTYPE}.items():
    add(f"cifar100: member that is {label}", published("cifar100", tar(("c/train", (member, 0)))), "c/train", "link")
add(
    "cifar100: member of 1 GB",
    published("cifar100", later(lambda: tar(("c/train", (b"0", 2**30))))),
    "c/train",
    "0.25 GiB",
    slow=True,
)
add("cifar100: member of a negative size", published("cifar100", tar(("c/train", (b"0", -512)))), "cifar100", "header")
add("cifar100: batch without images", published("cifar100", cifar(None, [1])), "CIFAR", "data")
add("cifar100: images of another size", published("cifar100", cifar(PIXELS[:, :99], [1, 2])), "CIFAR", "(2, 99)")
add("cifar100: labels as text", published("cifar100", cifar(PIXELS, "ab")), "CIFAR", "fine_labels")
add("cifar100: ten billion labels in a kilobyte", published("cifar100", cifar(PIXELS, shared)), "CIFAR", slow=True)
add("cifar100: a pickle of a list", published("cifar100", tar(("c/train", pickle.dumps([1])))), "CIFAR")
add("svhn: as published", published("svhn", DIGITS, DIGITS), images=2)
add("svhn: no labels", published("svhn", matlab(X=np.zeros(2)), DIGITS), "svhn", "SVHN")
large = later(lambda: matlab(X=np.zeros((32, 32, 3, 100_000), dtype=np.uint8), y=np.ones((1, 1))))
add("svhn: 300 MB of images with one label", published("svhn", large, DIGITS), "svhn", "SVHN", max_mib=400, slow=True)
add(
    "svhn: labels out of range",
    published("svhn", matlab(X=np.zeros((32, 32, 3, 1), np.uint8), y=np.array([[11]])), DIGITS),
    "SVHN",
)
add("svhn: cut", published("svhn", DIGITS[:-40], DIGITS), "svhn", "SVHN")
add("fashion-mnist: as published", published("fashion-mnist", TRAIN, LABEL, TRAIN, LABEL), images=3)
few = published("fashion-mnist", TRAIN, idx(np.zeros(2)), TRAIN, LABEL)
add("fashion-mnist: too few labels", few, "fashion-mnist", 3, 2)
idx_header = b"\0\0\x08\3" + struct.pack(">III", 2**31, 2**31, 4)
overflow = zlib.compress(idx_header, wbits=31)
add("fashion-mnist: size that overflows", published("fashion-mnist", overflow, LABEL, TRAIN, LABEL), "fashion-mnist")


def gzip_bomb(path: Path) -> None:
    """Write a GiB of zeros as a megabyte."""
    pack = zlib.compressobj(1, wbits=31)
    with path.open("wb") as file:
        for _ in range(1024):
            file.write(pack.compress(bytes(MIB)))
        file.write(pack.flush())


def tiny(**texts: bytes) -> Callable[[Path], str]:
    """Return a writer of a Tiny-ImageNet with these texts and one training image."""
    wnids = [f"n{number}" for number in range(200)]
    rows = "\n".join(f"{number}.JPEG\t{wnids[number // 50]}" for number in range(10_000)).encode()
    files = {"wnids.txt": "\n".join(wnids).encode(), "val/val_annotations.txt": rows, "train/n0/images/a.JPEG": b""}
    return published("tiny-imagenet", zipped(*((f"t/{name}", text) for name, text in {**files, **texts}.items())))


bomb_of_gzip = published("fashion-mnist", gzip_bomb, LABEL, TRAIN, LABEL)
add("fashion-mnist: a GB of zeros", bomb_of_gzip, "fashion-mnist", "0.25 GiB", max_mib=600, slow=True)
add("tiny-imagenet: EPS as an image", tiny(**{"train/n0/images/a.JPEG": EPS}), "a.JPEG", "not a readable image")
add("tiny-imagenet: image of an unknown class", tiny(**{"train/n9999/images/a.JPEG": b""}), "tiny-imagenet")
add("tiny-imagenet: image outside a class", tiny(**{"train/a.JPEG": b""}), "tiny-imagenet")
add("tiny-imagenet: names that are no text", tiny(**{"wnids.txt": b"\xff"}), "tiny-imagenet")
add("tiny-imagenet: annotations without tabs", tiny(**{"val/val_annotations.txt": b"a b c"}), "tiny-imagenet")
repeated = zipped(("t/x", b""), ("t/x", b""))
add("tiny-imagenet: member twice", published("tiny-imagenet", repeated), "t/x", "twice")
stated = zipped(("t/wnids.txt", b"x"), sizes={"t/wnids.txt": 2**30})
add("tiny-imagenet: member of 1 GB", published("tiny-imagenet", stated), "t/wnids.txt", "0.25 GiB")


# Caches


def prepared(change: Callable[[Path], object]) -> Callable[[Path], str]:
    """Return a writer of a valid file that has been read, in whose data root something is changed."""

    def write(folder: Path) -> str:
        name = write_npz(folder, {})
        read(name)
        change(folder / "root")
        return name

    return write


def swap(pattern: str, kind: str) -> Callable[[Path], None]:
    """Return a function that puts something special in the place of a file of the data root."""

    def change(root: Path) -> None:
        (path,) = root.rglob(pattern)
        path.unlink()
        special(kind, path)

    return change


for pattern in ("index.json", "train_labels.npy", "test_images.npy", "facts/*.json"):
    for kind in ("FIFO", "device", "folder"):
        add(f"cache: {kind} as {pattern}", prepared(swap(pattern, kind)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        os.environ["SLBENCH_DATA"] = f"{directory}/root"
        print("read:", read(CASES[sys.argv[1]].build(Path(directory))))
