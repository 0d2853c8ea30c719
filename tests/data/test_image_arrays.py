"""Arrays on the disk, read image by image: npz files, in place or unpacked, and named data sets."""

import dataclasses
import io
import os
import tracemalloc
import zipfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slbench.data.image_arrays import ImageArrays
from slbench.data.npz import read_npz
from slbench.data.own_split import in_memory
from slbench.data.prepared_cache import open_prepared, read_prepared, write_prepared
from slbench.data.spool import Sample, in_order

from slbench.data import DATASETS, find, load
from slbench.data.splits import Splits, content_hash, in_content_order
from slbench.errors import InputError
from tests.data.made import made_arrays, write_npz
from tests.support import missing, naming

DRAW = np.random.default_rng(7)
pytestmark = pytest.mark.usefixtures("root")


def packed(path: Path, **how: Any) -> Path:
    np.savez_compressed(path, **made_arrays(**how))  # type: ignore[arg-type]
    return path


def unpacked(root: Path) -> list[Path]:
    return sorted(path for path in (root / "unpacked").rglob("*") if path.is_file() and path.suffix != ".lock")


@pytest.mark.usefixtures("little")
def test_compressed_arrays_are_unpacked_once_and_others_are_read_in_place(tmp_path: Path, root: Path) -> None:
    resolved = find(f"npz:{write_npz(tmp_path / 'birds.npz', made_arrays())}")
    assert load(resolved.spec, resolved.source).lazy
    assert not (root / "unpacked").exists()
    path = packed(tmp_path / "packed.npz")
    same = find(f"npz:{path}")
    first_file = unpacked(root)[0]
    (partial := first_file.with_name(f".{first_file.name}.123.tmp")).write_bytes(b"of a process that was killed")
    assert same.spec == resolved.spec
    files = [file for file in unpacked(root) if file != partial]
    assert [file.stat().st_size for file in files] == [11 * 17 * 19 * 3, 31 * 17 * 19 * 3]
    times = [file.stat().st_mtime_ns for file in files]
    first = load(same.spec, same.source)
    assert [file.stat().st_mtime_ns for file in files] == times
    packed(path, seed=6)  # same name: the unpacked array of the old file is useless now
    other = find(f"npz:{path}")
    assert not partial.exists()
    assert other.spec.content != resolved.spec.content
    assert len(unpacked(root)) == 2 and not set(unpacked(root)) & set(files)
    assert content_hash(dataclasses.replace(first, statistics=None)) == content_hash(first)  # old readers still work


@pytest.mark.usefixtures("little")
def test_a_damaged_unpacked_array_is_named_with_the_cure(tmp_path: Path, root: Path) -> None:
    resolved = find(f"npz:{packed(tmp_path / 'birds.npz')}")
    splits = load(resolved.spec, resolved.source)
    images = unpacked(root)[1]
    with images.open("r+b") as file:
        file.write(bytes([255 - byte for byte in images.read_bytes()[:1]]))
    with pytest.raises(InputError) as refused:
        in_memory(splits)
    assert not missing(str(refused.value), images, f"{tmp_path}/birds.npz", "0")
    images.unlink()
    assert content_hash(load(resolved.spec, resolved.source)) == content_hash(splits)
    in_memory(load(resolved.spec, resolved.source))


@pytest.mark.usefixtures("little")
def test_a_file_truncated_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "birds.npz", made_arrays())
    resolved = find(f"npz:{path}")
    splits = load(resolved.spec, resolved.source)
    os.truncate(path, 5000)
    with pytest.raises(InputError, match=naming("birds.npz", "train_images")):
        in_memory(splits)


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_in_fortran_order_is_refused(tmp_path: Path, save: Callable[..., None]) -> None:
    arrays = made_arrays()
    save(tmp_path / "birds.npz", **{**arrays, "train_images": np.asfortranarray(arrays["train_images"])})
    with pytest.raises(InputError) as refused:
        find(f"npz:{tmp_path}/birds.npz")
    assert not missing(
        str(refused.value), f"{tmp_path}/birds.npz", "train_images", "Fortran", "numpy.ascontiguousarray"
    )


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_one_line(tmp_path: Path, root: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "birds.npz"
    save(path, **made_arrays())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("train_images.npy").header_offset
    content = path.read_bytes()
    for broken in (
        content[: start + 40] + bytes(200) + content[start + 240 :],  # its header
        content[: start + 2000] + bytes(3000) + content[start + 5000 :],  # its pixels
    ):
        path.write_bytes(broken)
        if save is np.savez and broken[:2000] == content[:2000]:
            continue  # valid pixels: a new file is new data
        with pytest.raises(InputError) as refused:
            find(f"npz:{path}")
        assert not missing(str(refused.value), path, "numpy.savez")
        assert not unpacked(root)


def as_npy(array: np.ndarray, **how: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False, **how)
    return file.getvalue()


def zipped(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes) -> str:
    """Write an npz file by hand, some members as raw bytes."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, array in made_arrays().items():
            archive.writestr(f"{name}.npy", members.get(name, as_npy(array)))
    return f"npz:{path}"


@pytest.mark.parametrize("stream", ["", "1"], ids=["kept", "streamed"])
@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npz_files_are_read_however_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: str, packing: int, version: tuple[int, int]
) -> None:
    expected = find(f"npz:{write_npz(tmp_path / 'usual.npz', made_arrays())}").spec
    monkeypatch.setenv("SLBENCH_STREAM", stream)
    members = {name: as_npy(array, version=version) for name, array in made_arrays().items()}
    resolved = find(zipped(tmp_path / "birds.npz", packing, **members))
    assert resolved.spec == expected
    in_memory(load(resolved.spec, resolved.source))


@pytest.mark.parametrize("stream", ["", "1"], ids=["kept", "streamed"])
@pytest.mark.parametrize("shape", [(30, 17, 19, 3), (10**9, 17, 19, 3), (2**60, 2**10, 3), (-31, 17, 19, 3)])
def test_an_array_with_a_wrong_size_in_its_header_is_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: str, shape: tuple[int, ...]
) -> None:
    monkeypatch.setenv("SLBENCH_STREAM", stream)
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    lying = file.getvalue() + made_arrays()["train_images"].tobytes()
    with pytest.raises(InputError, match=naming("birds.npz")):
        find(zipped(tmp_path / "birds.npz", train_images=lying))


@pytest.mark.usefixtures("little")
def test_a_disk_without_space_for_unpacking_is_one_line(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(free=10_000))
    with pytest.raises(InputError, match=naming("root/unpacked", "10,000 B")):
        find(f"npz:{packed(tmp_path / 'birds.npz')}")
    assert not unpacked(root)


@pytest.mark.usefixtures("little")
def test_a_read_only_data_root_only_matters_for_compressed_arrays(tmp_path: Path, root: Path) -> None:
    root.write_text("a file where the folder should be")
    resolved = find(f"npz:{write_npz(tmp_path / 'birds.npz', made_arrays())}")
    assert load(resolved.spec, resolved.source).lazy
    with pytest.raises(InputError, match=naming("root/unpacked", "Not a directory")):
        find(f"npz:{packed(tmp_path / 'packed.npz')}")


def peak(work: Callable[[], Any]) -> int:
    """Return the peak memory of Python and numpy, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def samples(count: int) -> Iterator[Sample]:
    for number in range(count):
        pixels = DRAW.integers(0, 256, (3, 32, 32), dtype=np.uint8)
        yield Sample("test" if number % 5 == 0 else "train", pixels, number % 7)


@pytest.mark.slow
def test_reading_and_sorting_hold_only_a_few_images_in_memory(
    tmp_path: Path,
) -> None:
    count = 2_500
    total = count * 3 * 32 * 32  # 7.7 MB; threads read 512 images ahead

    def put_in_order() -> None:
        write_prepared(in_order(samples(count), tmp_path), tmp_path / "kept.npz", of_content="made")

    assert peak(put_in_order) < total / 2
    splits = open_prepared(tmp_path / "kept.npz", of_content="made")
    assert splits is not None and len(splits.train) == count * 4 // 5

    def read() -> None:
        again = open_prepared(tmp_path / "kept.npz", of_content="made")
        assert again is not None and sum(1 for _ in again.train.images) == count * 4 // 5

    assert peak(read) < total / 2
    arrays = {
        f"{name}_{suffix}": array
        for name in ("train", "test")
        for suffix, array in (
            ("images", DRAW.integers(0, 256, (count // 2, 32, 32, 3), dtype=np.uint8)),
            ("labels", np.arange(count // 2) % 7),
        )
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "birds.npz", **arrays)  # type: ignore[arg-type]
        assert peak(lambda: read_npz(tmp_path / "birds.npz", lazy=True)) < total / 2


def put(splits: Splits) -> list[np.ndarray]:
    return [np.stack(list(part.images)) for part in (splits.train, splits.test)]


def test_a_prepared_cache_is_read_equally_in_memory_and_lazily_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "kept.npz"
    write_prepared(in_order(samples(40), tmp_path), path, of_content="made")
    in_one, streamed = read_prepared(path, of_content="made"), open_prepared(path, of_content="made")
    assert in_one is not None and streamed is not None and streamed.lazy and not in_one.lazy
    assert content_hash(in_one) == content_hash(streamed)
    assert all(np.array_equal(first, second) for first, second in zip(put(in_one), put(streamed), strict=True))
    assert np.array_equal(in_one.train.array, in_memory(streamed).train.array)
    assert np.array_equal(in_content_order(in_one.train).array, in_one.train.array)
    for read in (read_prepared, open_prepared):
        assert read(path, of_content="another") is None
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    for read in (read_prepared, open_prepared):
        assert read(path, of_content="made") is None


@pytest.mark.slow
def test_images_that_fit_into_memory_only_before_resizing_are_resized_on_access(
    request: pytest.FixtureRequest,
) -> None:
    spec = dataclasses.replace(DATASETS["fashion-mnist-12k"].spec, image_size=(36, 40))
    whole = load(spec)
    request.getfixturevalue("little")
    streamed = load(spec)
    assert streamed.lazy and isinstance(streamed.train.images, ImageArrays) and not whole.lazy
    assert streamed.train.images.shape == whole.train.images.shape == (10_000, 1, 36, 40)
    assert content_hash(streamed) == content_hash(whole)
    assert np.array_equal(streamed.held_out, whole.held_out)
    few = np.array([17, 3, 9_999])
    assert np.array_equal(np.stack(list(streamed.train.take(few).images)), whole.train.array[few])
    again = load(spec)  # from the index
    assert again.statistics == streamed.statistics is not None
