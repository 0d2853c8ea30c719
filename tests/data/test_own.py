"""A user's images as npz files and folders: resolved specs, cached copies and refused input."""

import dataclasses
import errno
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from slbench.data import find, load
from slbench.data.images.decode import header, resize
from slbench.data.images.pixel_statistics import levels, moments
from slbench.data.own.npz import as_int64
from slbench.data.own.split import in_class_order
from slbench.errors import InputError
from slbench.limits import IMAGE_PIXELS
from tests.data.made import CLASSES, made_arrays, write_folder, write_npz
from tests.support import missing, naming


def npz(path: Path, **changes: Any) -> str:
    arrays = {**made_arrays(), **changes}
    return f"npz:{write_npz(path, {name: array for name, array in arrays.items() if array is not None})}"


def test_the_spec_is_computed_from_the_images(tmp_path: Path) -> None:
    arrays = made_arrays()
    resolved = find(f"npz:{write_npz(tmp_path / 'birds.npz', arrays)}")
    spec = resolved.spec
    assert (resolved.label, resolved.source) == ("birds", f"npz:{tmp_path}/birds.npz")
    assert (spec.name, spec.image_size, spec.in_channels, spec.num_classes) == ("own", (17, 19), 3, 3)
    assert (spec.train_counts, spec.validation_counts, spec.num_test) == ((10, 11, 10), 1, 11)
    pixels = arrays["train_images"] / 255
    assert spec.mean == pytest.approx(pixels.mean(axis=(0, 1, 2)), abs=1e-5)
    assert spec.std == pytest.approx(pixels.std(axis=(0, 1, 2)), abs=1e-5)


@pytest.mark.parametrize("val", [0, 7])
@pytest.mark.parametrize("shape", [(17, 19, 3), (17, 19), (17, 19, 4)])
def test_an_npz_file_and_a_folder_of_the_same_images_are_equal(
    tmp_path: Path, shape: tuple[int, ...], val: int
) -> None:
    arrays = made_arrays(shape=shape, val=val)
    of_file = find(f"npz:{write_npz(tmp_path / 'birds.npz', arrays)}")
    of_folder = find(f"folder:{write_folder(tmp_path / 'birds', arrays)}")
    assert of_file.spec == of_folder.spec
    first, second = load(of_file.spec, of_file.source), load(of_folder.spec, of_folder.source)
    for part, same in ((first.train, second.train), (first.test, second.test)):
        assert np.array_equal(part.array, same.array)
        assert np.array_equal(part.labels, same.labels)
    assert np.array_equal(first.held_out, second.held_out)


def test_classes_are_numbered_in_the_order_of_their_names(tmp_path: Path) -> None:
    arrays = made_arrays()
    resolved = find(f"npz:{write_npz(tmp_path / 'birds.npz', arrays)}")
    train = load(resolved.spec, resolved.source).train
    finch = CLASSES.index("finch")
    expected = {image.tobytes() for image in arrays["train_images"][arrays["train_labels"] == finch]}
    assert {image.transpose(1, 2, 0).tobytes() for image in train.array[train.labels == 0]} == expected


def test_numbers_as_class_names_are_ordered_by_value() -> None:
    assert in_class_order(["10", "9", "1"]) == ["1", "9", "10"]
    assert in_class_order(["10", "9", "a"]) == ["10", "9", "a"]


@pytest.mark.parametrize("kind", ["u1", "i1", "<u2", ">i4", "<u8"])
def test_labels_of_any_integer_type_are_read(kind: str) -> None:
    assert as_int64(np.array([[0], [2], [1]], dtype=kind)).tolist() == [0, 2, 1]


def test_a_label_beyond_int64_stays_too_large() -> None:
    assert as_int64(np.array([2**64 - 1], dtype=np.uint64)).tolist() == [2**63 - 1]


def test_labels_in_a_column_are_read_like_those_of_medmnist(tmp_path: Path) -> None:
    arrays = made_arrays(val=7)
    columns = {name: array[:, None] if name.endswith("labels") else array for name, array in arrays.items()}
    flat, column = write_npz(tmp_path / "flat.npz", arrays), write_npz(tmp_path / "column.npz", columns)
    assert find(f"npz:{flat}").spec == find(f"npz:{column}").spec


def test_a_validation_split_in_the_data_is_used(tmp_path: Path) -> None:
    arrays = made_arrays(val=7)
    resolved = find(f"npz:{write_npz(tmp_path / 'birds.npz', arrays)}")
    assert (resolved.spec.num_train, resolved.spec.num_validation) == (38, 7)
    training, validation, _ = load(resolved.spec, resolved.source).for_protocol("holdout")
    assert validation is not None
    for part, name in ((training, "train"), (validation, "val")):
        assert {image.tobytes() for image in part.array.transpose(0, 2, 3, 1)} == {
            image.tobytes() for image in arrays[f"{name}_images"]
        }


def test_a_folder_without_test_uses_val_for_testing(tmp_path: Path) -> None:
    arrays = made_arrays()
    folder = write_folder(tmp_path / "birds", arrays)
    spec = find(f"folder:{folder}").spec
    (folder / "test").rename(folder / "val")
    assert find(f"folder:{folder}").spec == spec


def test_a_folder_without_splits_is_tested_on_a_fifth_of_each_class(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "birds", made_arrays(train=60, test=0)) / "train"
    resolved = find(f"folder:{folder}")
    assert (resolved.spec.train_counts, resolved.spec.validation_counts, resolved.spec.num_test) == (16, 2, 12)
    splits = load(resolved.spec, resolved.source)
    assert np.bincount(splits.test.labels).tolist() == [4, 4, 4]
    assert not {image.tobytes() for image in splits.train.images} & {image.tobytes() for image in splits.test.images}


def test_replacing_a_file_changes_the_content_and_moving_it_does_not(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "birds.npz", made_arrays())
    first = find(f"npz:{path}").spec
    shutil.move(path, tmp_path / "moved.npz")
    assert find(f"npz:{tmp_path / 'moved.npz'}").spec == first
    write_npz(path, made_arrays(seed=6))
    assert find(f"npz:{path}").spec.content != first.content


def test_the_spec_is_cached_while_the_file_is_unchanged(tmp_path: Path, root: Path) -> None:
    path = write_npz(tmp_path / "birds.npz", made_arrays())
    first, times = find(f"npz:{path}").spec, path.stat()
    path.write_bytes(b"x" * times.st_size)  # unreadable: only the cached spec can answer
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert find(f"npz:{path}").spec == first
    assert len(list((root / "facts").iterdir())) == 1
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    with pytest.raises(InputError, match=naming("birds.npz")):
        find(f"npz:{path}")


def test_a_folder_is_decoded_once(tmp_path: Path, root: Path) -> None:
    folder = write_folder(tmp_path / "birds", made_arrays())
    resolved = find(f"folder:{folder}")
    first = load(resolved.spec, resolved.source)
    shutil.rmtree(folder)  # only the prepared cache is left
    assert np.array_equal(load(resolved.spec, resolved.source).train.array, first.train.array)
    (index,) = root.rglob("index.json")
    index.write_bytes(b"damaged")
    with pytest.raises(InputError, match="no such folder"):
        load(resolved.spec, resolved.source)


def test_images_of_different_sizes_need_an_image_size(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "birds", made_arrays())
    odd = folder / "train" / "finch" / "odd.png"
    Image.fromarray(np.arange(23 * 29, dtype=np.uint8).reshape(23, 29)).save(odd)
    with pytest.raises(InputError, match=naming("2", "17 x 19", "23 x 29 px", "dataset.image_size")):
        find(f"folder:{folder}")
    resolved = find(f"folder:{folder}", image_size=(11, 13))
    assert (resolved.spec.image_size, resolved.spec.in_channels) == ((11, 13), 3)  # the grey one became RGB
    assert load(resolved.spec, resolved.source).train.images.shape == (32, 3, 11, 13)


def test_too_large_images_need_an_image_size(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "birds", made_arrays(shape=(3, 4097)))
    with pytest.raises(InputError) as refused:
        find(f"folder:{folder}")
    assert not missing(str(refused.value), folder, "3 x 4097 px", "4096", "dataset.image_size")
    resolved = find(f"folder:{folder}", image_size=(11, 13))
    assert load(resolved.spec, resolved.source).train.images.shape == (31, 1, 11, 13)


def test_images_of_three_rows_and_columns_and_many_channels_are_accepted(tmp_path: Path) -> None:
    resolved = find(f"npz:{write_npz(tmp_path / 'patches.npz', made_arrays(shape=(3, 3, 200)))}")
    assert (resolved.spec.image_size, resolved.spec.in_channels) == ((3, 3), 200)


def test_resizing_keeps_the_order_and_the_split(tmp_path: Path) -> None:
    resolved = find(npz(tmp_path / "birds.npz"))
    as_it_is = load(resolved.spec, resolved.source)
    smaller = load(dataclasses.replace(resolved.spec, image_size=(7, 5)), resolved.source)
    assert smaller.train.images.shape == (31, 3, 7, 5)
    assert np.array_equal(smaller.held_out, as_it_is.held_out)
    assert np.array_equal(smaller.train.array[3], resize(as_it_is.train.array[3], (7, 5)))


def test_resizing_is_pillows_antialiased_bilinear_filter() -> None:
    image = np.random.default_rng(1).integers(0, 256, (23, 29, 3), dtype=np.uint8)
    theirs = Image.fromarray(image).resize((13, 11), Image.Resampling.BILINEAR)
    assert np.array_equal(resize(image.transpose(2, 0, 1), (11, 13)), np.asarray(theirs).transpose(2, 0, 1))
    flat = np.full((1, 4, 4), 7, dtype=np.uint8)
    assert (resize(flat, (2, 3)) == 7).all()


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    assert moments(levels(np.full((5, 1, 2, 3), 51, dtype=np.uint8))) == ((0.2,), (1.0,))


OBJECTS = np.array([[1, 2], [3]], dtype=object)
WRONG: dict[str, tuple[dict[str, Any], tuple[object, ...]]] = {
    "objects": ({"train_labels": OBJECTS}, ("train_labels", "objects")),
    "objects in place of images": ({"train_images": OBJECTS}, ("train_images", "objects")),
    "floats": (
        {"train_images": np.zeros((31, 17, 19, 3))},
        ("train_images", "uint8", "(n, h, w)", "(n, h, w, c)", "float64", "(31, 17, 19, 3)"),
    ),
    "channels first": (
        {"train_images": np.zeros((31, 3, 17, 19), dtype=np.uint8)},
        ("train_images", "(31, 3, 17, 19)", "(n, h, w, c)", "numpy.moveaxis(images, 1, -1)"),
    ),
    "an image that is too large": (
        {"train_images": np.zeros((31, 4097, 1), dtype=np.uint8)},
        ("train_images", "4097 x 1 px", "4096"),
    ),
    "labels of another length": (
        {"test_labels": np.zeros(7, dtype=np.int64)},
        ("test_labels", "(11,)", "(11, 1)", "int64", "(7,)"),
    ),
    "one hot": ({"test_labels": np.zeros((11, 3))}, ("test_labels", "(11,)", "(11, 1)", "float64", "(11, 3)")),
    "a label too high": ({"test_labels": np.full(11, 3)}, ("test_labels", "3", "3 classes", "0", "2")),
    "a label below 0": ({"train_labels": np.full(31, -1)}, ("train_labels", "-1", "3 classes", "0", "2")),
    "a label beyond any number of classes": (
        {"train_labels": np.full(31, 2**62), "classes": None},
        ("train_labels", 2**62, "31", "31 classes", "0", "30"),
    ),
    "a label beyond 64 bits": (
        {"test_labels": np.full(11, 2**63 + 5, dtype=np.uint64)},
        ("test_labels", 2**63 - 1, "3 classes", "0", "2"),
    ),
    "labels without their images": (
        {"val_labels": np.zeros(3, dtype=np.int64)},
        ("val_images", "train_images", "train_labels", "test_images", "test_labels"),
    ),
    "a class without images": ({"train_labels": np.arange(31) % 2}, ("stork", "0")),
    "sizes that differ": (
        {"test_images": np.zeros((11, 17, 18, 3), dtype=np.uint8)},
        ("train (3, 17, 19)", "test (3, 17, 18)"),
    ),
    "a name twice": ({"classes": np.array(["heron", "finch", "finch"])}, ("classes", "<U5 (3,)")),
}


@pytest.mark.parametrize(("changes", "complaint"), WRONG.values(), ids=WRONG)
def test_an_invalid_npz_file_is_refused(tmp_path: Path, changes: dict[str, Any], complaint: tuple[object, ...]) -> None:
    with pytest.raises(InputError) as refused:
        find(npz(tmp_path / "birds.npz", **changes))
    assert not missing(str(refused.value), f"{tmp_path}/birds.npz", *complaint)


def test_an_npz_file_without_an_array_is_refused(tmp_path: Path) -> None:
    arrays = made_arrays()
    del arrays["test_labels"]
    with pytest.raises(InputError) as refused:
        find(f"npz:{write_npz(tmp_path / 'birds.npz', arrays)}")
    needed = "train_images, train_labels, test_images, test_labels"
    assert not missing(str(refused.value), f"{tmp_path}/birds.npz", "test_labels", needed)


def test_missing_files_and_files_without_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("text")
    for name, complaint in {
        "npz:absent.npz": "absent.npz",
        f"npz:{tmp_path}/text.npz": "text.npz.*npz",
        "folder:absent": "absent.*folder",
        f"folder:{tmp_path}/text.npz": "text.npz.*folder",
        f"folder:{tmp_path}": "class",
        "npz:": "npz:.*path",
        "npz:\0": "path",
        f"folder:{'x' * 300}": "x.*File name too long",
        f"npz:{tmp_path}": "Is a directory",
    }.items():
        with pytest.raises(InputError, match=complaint):
            find(name)


def bad_folder(tmp_path: Path, content: bytes) -> tuple[str, Path]:
    folder = write_folder(tmp_path / "birds", made_arrays())
    bad = folder / "train" / "finch" / "bad.png"
    bad.write_bytes(content)
    return f"folder:{folder}", bad


@pytest.mark.parametrize("how", ["corrupt", "truncated"])
def test_a_damaged_image_is_refused_by_name(tmp_path: Path, how: str) -> None:
    whole = next(write_folder(tmp_path / "whole", made_arrays()).rglob("*.png")).read_bytes()
    name, bad = bad_folder(tmp_path, b"\x89PNG nothing" if how == "corrupt" else whole[: len(whole) // 2])
    with pytest.raises(InputError) as refused:
        find(name)
    assert not missing(str(refused.value), bad)


def giant_png(width: int, height: int) -> bytes:
    """Return a PNG with this size in its header."""
    chunk = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")


@pytest.mark.parametrize(("width", "message"), [(10_000, " 10000 x 10000 px:"), (20_000, "")])
def test_an_image_of_100_megapixels_and_more_is_refused(tmp_path: Path, width: int, message: str) -> None:
    data = giant_png(width, 10_000) + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"
    name, bad = bad_folder(tmp_path, data)
    with pytest.raises(InputError) as refused:
        find(name)
    assert not missing(str(refused.value), f"{bad}:{message}", "64,000,000 pixels", IMAGE_PIXELS.variable)


def test_a_large_image_is_read_if_the_limit_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # is restored
    (tmp_path / "x.png").write_bytes(giant_png(20_000, 10_000) + b"\0\0\0\0IDAT\x35\xaf\x06\x1e")
    monkeypatch.setenv(IMAGE_PIXELS.variable, "2e8")
    assert header(tmp_path / "x.png").size == (10_000, 20_000)


def test_images_are_found_through_links_and_a_broken_link_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "birds", made_arrays())
    spec = find(f"folder:{folder}").spec
    elsewhere = tmp_path / "elsewhere"
    (folder / "train" / "finch").rename(elsewhere)
    (folder / "train" / "finch").mkdir()
    (folder / "train" / "finch" / "deeper").symlink_to(elsewhere)
    assert find(f"folder:{folder}").spec == spec
    lost = folder / "train" / "heron" / "lost.png"
    lost.symlink_to(tmp_path / "absent.png")
    with pytest.raises(InputError) as refused:
        find(f"folder:{folder}")
    assert not missing(str(refused.value), lost)


def test_an_unreadable_folder_below_a_class_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "birds", made_arrays())
    locked, scan = folder / "train" / "finch" / "locked", os.scandir
    locked.mkdir()

    def scanned(path: Any) -> Any:
        if Path(path) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", scanned)
    with pytest.raises(InputError) as refused:
        find(f"folder:{folder}")
    assert not missing(str(refused.value), locked, "Permission")


def test_a_class_folder_without_images_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "birds", made_arrays())
    (folder / "train" / "emu").mkdir()
    with pytest.raises(InputError, match=naming("birds/train/emu")):
        find(f"folder:{folder}")
    (folder / "train" / "emu").rmdir()
    (folder / "test" / "emu").mkdir()
    shutil.copy(next(folder.rglob("*.png")), folder / "test" / "emu")
    with pytest.raises(InputError, match=naming("birds/test", "emu", "birds/train")):
        find(f"folder:{folder}")


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="needs Linux")
def test_a_file_system_of_the_kernel_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "birds", made_arrays())
    (folder / "train" / "zzz").symlink_to("/proc")
    for path, refused in (("/proc", "/proc"), ("/proc/self", "/proc/self"), (folder, folder / "train" / "zzz")):
        with pytest.raises(InputError, match=naming(refused, "proc")) as error:
            find(f"folder:{path}")
        assert "\n" not in str(error.value)
