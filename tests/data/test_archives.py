"""Published formats, in small archives of the same layout, and refused archives."""

import gzip
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from slbench.data.build import RawDataset, build
from slbench.data.sets import archives
from slbench.data.sets.archives import members, unpacked, unpickled
from slbench.data.sets.cifar import load_cifar10, load_cifar100
from slbench.data.sets.fashion_mnist import load_fashion_mnist
from slbench.data.sets.svhn import load_svhn
from slbench.data.sets.tiny_imagenet import load_tiny_imagenet
from slbench.data.splits import Sample, Splits
from slbench.errors import InputError
from slbench.limits import ARCHIVE_BYTES
from tests.data.made import idx
from tests.support import missing, naming

DRAW = np.random.default_rng(3)


def tar_of(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def zip_of(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def read(samples: Iterable[Sample], folder: Path) -> Splits:
    """Return samples after sorting and reading, like a downloaded set."""
    (folder / "prepared").mkdir(exist_ok=True)
    return build(RawDataset("tiny", samples), folder / "prepared").splits(stream=False)


def batch(count: int, labels: str, classes: int) -> dict[str, Any]:
    """Return a batch in the format of CIFAR: rows of 3072 bytes, red first."""
    images = DRAW.integers(0, 256, (count, 3072), dtype=np.uint8)
    return {"data": images, labels: [int(label) for label in DRAW.integers(0, classes, count)], "filenames": ["x.png"]}


def test_cifar_10_is_read_channel_by_channel_with_its_labels(tmp_path: Path) -> None:
    batches = {name: batch(7, "labels", 10) for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")}
    files = {f"cifar-10-batches-py/{name}": pickle.dumps(content, protocol=2) for name, content in batches.items()}
    splits = read(
        load_cifar10(tar_of(tmp_path / "cifar.tar.gz", {**files, "cifar-10-batches-py/readme.html": b"x"})), tmp_path
    )
    assert splits.train.images.shape == (35, 3, 32, 32)
    assert splits.test.images.shape == (7, 3, 32, 32)
    first = batches["test_batch"]
    row = next(row for row, image in enumerate(splits.test.images) if image.tobytes() == first["data"][4].tobytes())
    assert splits.test.labels[row] == first["labels"][4]
    assert splits.test.array[row, 2, 5, 7] == first["data"][4][2 * 1024 + 5 * 32 + 7]


def test_cifar_100_is_read_with_its_fine_labels(tmp_path: Path) -> None:
    train, test = batch(11, "fine_labels", 100), batch(5, "fine_labels", 100)
    train["coarse_labels"] = [0] * 11
    files = {"cifar-100-python/train": pickle.dumps(train, 2), "cifar-100-python/test": pickle.dumps(test, 2)}
    splits = read(load_cifar100(tar_of(tmp_path / "cifar.tar.gz", files)), tmp_path)
    assert splits.train.labels.tolist() == sorted(train["fine_labels"])
    assert len(splits.test) == 5


def test_an_archive_without_a_batch_is_refused(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "cifar.tar.gz", {"cifar-100-python/train": pickle.dumps(batch(3, "fine_labels", 9), 2)})
    with pytest.raises(InputError) as refused:
        read(load_cifar100(path), tmp_path)
    assert not missing(str(refused.value), path, "test")


class RunsCommand:
    """An object whose pickle runs a shell command."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("exit 0",)


def test_a_pickle_that_runs_code_is_refused() -> None:
    with pytest.raises(InputError, match=r"^x: .*(posix|nt)\.system"):
        unpickled(pickle.dumps(RunsCommand(), protocol=2), "x")
    with pytest.raises(InputError, match=r"^x: "):
        unpickled(b"nothing", "x")


def test_arrays_pickled_by_older_numpy_versions_are_read() -> None:
    array = np.arange(5, dtype=np.uint8)
    old = pickle.dumps(array, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in old
    assert np.array_equal(unpickled(old, "x"), array)


def write_mat(path: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    import scipy.io

    scipy.io.savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": labels[:, None]})
    return path


def test_label_10_of_svhn_is_read_as_0(tmp_path: Path) -> None:
    images, labels = (
        DRAW.integers(0, 256, (11, 32, 32, 3), dtype=np.uint8),
        np.array([10, 1, 9, 10, 2, 3, 4, 5, 6, 7, 8]),
    )
    train = write_mat(tmp_path / "train.mat", images, labels)
    test = write_mat(tmp_path / "test.mat", images[:5], labels[:5])
    splits = read(load_svhn(train, test), tmp_path)
    assert splits.train.labels.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert splits.test.images.shape == (5, 3, 32, 32)
    assert np.array_equal(splits.train.array[2], images[1].transpose(2, 0, 1))


def test_an_svhn_file_that_is_damaged_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "train.mat").write_bytes(b"nothing")
    with pytest.raises(InputError, match=naming("train.mat", "SVHN")):
        read(load_svhn(tmp_path / "train.mat", tmp_path / "train.mat"), tmp_path)


def test_fashion_mnist_is_read_and_padded(tmp_path: Path) -> None:
    images, labels = DRAW.integers(0, 256, (7, 28, 28), dtype=np.uint8), np.array([3, 1, 4, 1, 5, 9, 2])
    paths = [tmp_path / str(number) for number in range(4)]
    for path, array in zip(paths, (images, labels, images[:3], labels[:3]), strict=True):
        path.write_bytes(idx(array))
    splits = read(load_fashion_mnist(*paths), tmp_path)
    assert splits.train.labels.tolist() == [1, 1, 2, 3, 4, 5, 9]
    assert splits.test.images.shape == (3, 1, 32, 32)
    assert np.array_equal(splits.train.array[2, 0, 2:-2, 2:-2], images[6])
    paths[0].write_bytes(idx(images)[:-20])
    with pytest.raises(InputError, match="damaged archive"):
        read(load_fashion_mnist(*paths), tmp_path)
    paths[0].write_bytes(idx(labels))
    with pytest.raises(InputError, match=naming("idx", "3 axes")):
        read(load_fashion_mnist(*paths), tmp_path)


def jpeg(side: int = 64) -> bytes:
    file = io.BytesIO()
    Image.fromarray(DRAW.integers(0, 256, (side, side), dtype=np.uint8)).save(file, "JPEG")  # some are grey
    return file.getvalue()


def tiny_archive(tmp_path: Path, *, of_last: int = 50, side: int = 64) -> Path:
    """Write a Tiny-ImageNet with one training image per class and the whole val."""
    wnids = [f"n{number:08d}" for number in range(200, 0, -1)]
    picture, odd = jpeg(), jpeg(side)
    files = {"tiny-imagenet-200/wnids.txt": "\n".join(wnids).encode()}
    files |= {f"tiny-imagenet-200/train/{wnid}/images/{wnid}_0.JPEG": picture for wnid in wnids}
    files[f"tiny-imagenet-200/train/{wnids[0]}/images/{wnids[0]}_0.JPEG"] = odd
    lines = []
    for number, wnid in enumerate(wnids):
        for image in range(50 if number < 199 else of_last):
            name = f"val_{50 * number + image}.JPEG"
            files[f"tiny-imagenet-200/val/images/{name}"] = picture
            lines.append(f"{name}\t{wnid}\t0\t0\t62\t62")
    files["tiny-imagenet-200/val/val_annotations.txt"] = "\n".join(lines).encode()
    files["tiny-imagenet-200/test/images/test_0.JPEG"] = picture
    return zip_of(tmp_path / "tiny.zip", files)


@pytest.mark.slow
def test_validation_images_of_tiny_imagenet_get_the_classes_of_their_annotations(tmp_path: Path) -> None:
    splits = read(load_tiny_imagenet(tiny_archive(tmp_path)), tmp_path)
    assert splits.train.images.shape == (200, 3, 64, 64)
    assert splits.train.labels.tolist() == list(range(200))
    assert np.bincount(splits.test.labels).tolist() == [50] * 200


def test_a_tiny_imagenet_with_another_number_of_test_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read(load_tiny_imagenet(tiny_archive(tmp_path, of_last=49)), tmp_path)
    assert not missing(str(refused.value), f"{tmp_path}/tiny.zip", "200 classes", "49", "50 images", "200", "50")


def test_a_tiny_imagenet_with_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=naming("n00000200_0.JPEG", "32 x 32 px", "64 x 64")):
        read(load_tiny_imagenet(tiny_archive(tmp_path, side=32)), tmp_path)


def all_members(path: Path) -> list[tuple[str, bytes]]:
    return list(members(path, lambda name: True))


@pytest.mark.parametrize("make", [tar_of, zip_of])
@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a\\..\\..\\x", "C:/x"])
def test_an_archive_with_a_path_that_leaves_its_folder_is_refused(
    tmp_path: Path, make: Callable[[Path, Mapping[str, bytes]], Path], name: str
) -> None:
    path = make(tmp_path / "archive", {"good": b"1", name: b"2"})
    with pytest.raises(InputError) as refused:
        all_members(path)
    assert not missing(str(refused.value), path, name)


def test_an_archive_with_a_link_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "links.tar", "w") as archive:
        member = tarfile.TarInfo("inside")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(InputError, match=naming("inside", "link")):
        all_members(tmp_path / "links.tar")
    linked = zipfile.ZipInfo("inside")
    linked.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "links.zip", "w") as packed:
        packed.writestr(linked, "/etc/passwd")
    with pytest.raises(InputError, match=naming("inside", "link")):
        all_members(tmp_path / "links.zip")


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ARCHIVE_BYTES.variable, str(2**20))
    for make in (tar_of, zip_of):
        path = make(tmp_path / f"{make.__name__}", {**{f"{n}": bytes(2**17) for n in range(8)}, "c": b"1"})
        with pytest.raises(InputError, match=naming("300,000 files", "0.000976562 GiB", ARCHIVE_BYTES.variable)):
            all_members(path)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(2**17 + 1)))
    with pytest.raises(InputError, match=naming("bomb.gz", "0.00012207 GiB", ARCHIVE_BYTES.variable)):
        unpacked(tmp_path / "bomb.gz")
    monkeypatch.setenv(ARCHIVE_BYTES.variable, str(2**22))
    assert len(all_members(path)) == 9
    assert len(unpacked(tmp_path / "bomb.gz")) == 2**17 + 1


def test_an_archive_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    assert len(all_members(zip_of(tmp_path / "three.zip", dict.fromkeys("abc", b"")))) == 3
    with pytest.raises(InputError, match=naming("3 files")):
        all_members(zip_of(tmp_path / "four.zip", dict.fromkeys("abcd", b"")))


def test_a_damaged_archive_is_refused_by_name(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "cut.tar.gz", {"a": DRAW.bytes(5000)})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=naming("cut.tar.gz")):
        all_members(path)
