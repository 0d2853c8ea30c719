"""The prepared cache: written once, trusted while its files are unchanged, rebuilt if damaged."""

import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slbench.data import DATASETS, DataConfig, DatasetEntry, config, find, load, rehash, verify
from slbench.data.build import RawDataset, build
from slbench.data.own.npz import read_npz
from slbench.data.prepared import open_prepared
from slbench.data.sets import local
from slbench.data.splits import Sample, Splits, content_hash
from slbench.errors import InputError
from tests.data.made import made_arrays, write_folder, write_npz
from tests.support import ROOT, missing, naming

DRAW = np.random.default_rng(7)
pytestmark = pytest.mark.usefixtures("root")


def birds(path: Path, **how: Any) -> str:
    return f"npz:{write_npz(path / 'birds.npz', made_arrays(**how))}"


def images_of(root: Path) -> Path:
    (path,) = root.rglob("train_images.npy")
    return path


def without_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every computation of a content hash fail."""
    monkeypatch.setattr("slbench.data.prepared.content_hash", None)
    monkeypatch.setattr("slbench.data.build.content_hash", None)


def test_a_long_wait_for_a_lock_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, named, (has_it, tell), (may_end, release) = tmp_path / "x.lock", list[Path](), os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        with config.locked(path):
            os.write(tell, b"1")
            os.read(may_end, 1)
        os._exit(0)

    def warn(_: str, path: Path) -> None:
        named.append(path)
        os.write(release, b"1")

    os.read(has_it, 1)
    monkeypatch.setattr(config, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(config.log, "warning", warn)
    with config.locked(path):
        assert named == [path]
    assert os.waitpid(child, 0)[1] == 0


def test_content_is_not_hashed_again_while_the_cache_is_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = find(birds(tmp_path))
    first = load(resolved.spec, resolved.source)
    with monkeypatch.context() as patch:
        without_hashing(patch)
        again = load(resolved.spec, resolved.source)
        assert content_hash(again) == content_hash(first)
    assert np.array_equal(again.train.array, first.train.array)


def test_a_copied_cache_is_hashed_once_and_then_trusted(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = find(birds(tmp_path))
    shutil.copytree(root, tmp_path / "copy")
    config = DataConfig(tmp_path / "copy")
    (tmp_path / "birds.npz").unlink()
    assert load(resolved.spec, resolved.source, config).content == resolved.spec.content.partition(":")[2]
    without_hashing(monkeypatch)
    load(resolved.spec, resolved.source, config)


@pytest.mark.parametrize("name", ["train_images.npy", "test_labels.npy", "index.json"])
@pytest.mark.parametrize(
    "damage", [lambda content: content[:-9], lambda content: bytes([content[0] ^ 1]) + content[1:]]
)
def test_a_damaged_cache_is_built_again(
    tmp_path: Path, root: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    resolved = find(birds(tmp_path))
    first = load(resolved.spec, resolved.source)
    (path,) = root.rglob(name)
    path.write_bytes(damage(path.read_bytes()))
    again = load(resolved.spec, resolved.source)
    assert np.array_equal(again.train.array, first.train.array)
    assert content_hash(dataclasses.replace(again, content=None)) == content_hash(first)


def test_a_change_with_equal_size_time_and_inode_is_found_by_rehashing(tmp_path: Path, root: Path) -> None:
    resolved = find(birds(tmp_path))
    path, times = images_of(root), images_of(root).stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read()
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    rehash(resolved.spec)
    again = load(resolved.spec, resolved.source)
    assert content_hash(dataclasses.replace(again, content=None)) == again.content


def test_planned_runs_keep_the_cached_data_if_the_source_changes(tmp_path: Path, root: Path) -> None:
    resolved = find(birds(tmp_path))
    first = load(resolved.spec, resolved.source)
    birds(tmp_path, seed=6)
    assert np.array_equal(load(resolved.spec, resolved.source).train.array, first.train.array)
    shutil.rmtree(root)
    with pytest.raises(InputError, match=naming("own", "sha256")):
        load(resolved.spec, resolved.source)


PROGRAM = (
    "import sys; from slbench.data import find, load\n"
    "found = find(sys.argv[1]); print(load(found.spec, found.source).content)"
)


def loading(name: str, root: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SLBENCH_DATA": str(root)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, name], env=environment, stdout=subprocess.PIPE, text=True)


def test_concurrent_and_killed_processes_leave_one_complete_cache(tmp_path: Path, root: Path) -> None:
    name = birds(tmp_path, train=20_000, test=2_000)
    killed = loading(name, root)
    for _ in range(1000):
        if list(root.rglob(".*.tmp")):
            break
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not list(root.rglob("index.json"))
    both = [loading(name, root) for _ in range(2)]
    contents = {process.communicate(timeout=60)[0].strip() for process in both}
    assert contents == {find(name).spec.content.partition(":")[2]}
    assert len(list(root.rglob("index.json"))) == 1 and not list(root.rglob("*.tmp"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["npz", "folder", "fashion-mnist-12k"])
@pytest.mark.slow
def test_data_are_loaded_without_a_writable_data_root(tmp_path: Path, root: Path, kind: str, stream: bool) -> None:
    root.write_text("a file where the folder should be")
    config = DataConfig(root, stream)
    names = {"npz": birds(tmp_path), "folder": f"folder:{write_folder(tmp_path / 'birds', made_arrays())}"}
    resolved = find(names.get(kind, kind), config=config)
    splits = load(resolved.spec, resolved.source, config)
    assert splits.streamed == stream
    assert content_hash(dataclasses.replace(splits, content=None)) == splits.content
    assert root.read_text() == "a file where the folder should be"


def older_cache(path: Path, splits: Splits, of: str) -> None:
    """Write a cache as slbench 0.1 did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"train_images": splits.train.array, "train_labels": splits.train.labels}
    arrays |= {"test_images": splits.test.array, "test_labels": splits.test.labels}
    if splits.validation is not None:
        arrays["given"] = splits.validation
    np.savez(path, **arrays)  # type: ignore[arg-type]
    path.with_suffix(".json").write_text(json.dumps({"of": of, "content": splits.content}))


def test_a_cache_of_an_older_version_is_used_even_without_its_source(
    tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "birds", made_arrays(val=7))
    resolved = find(f"folder:{folder}")
    first = load(resolved.spec, resolved.source)
    shutil.rmtree(folder)
    shutil.rmtree(root / "prepared")
    old = root / "prepared" / f"{first.content}.npz"
    older_cache(old, first, resolved.spec.content)
    again = load(resolved.spec, resolved.source)
    assert again.content == first.content and np.array_equal(again.held_out, first.held_out)
    assert not missing(caplog.text, old, "older version", "deleted")


def small_svhn(
    monkeypatch: pytest.MonkeyPatch, root: Path, samples: list[Sample], **changes: Any
) -> tuple[DatasetEntry, Path]:
    """Replace svhn by a small set with these samples whose archives are on this machine."""
    entry = DATASETS["svhn"]
    counts: dict[str, Any] = {"train_counts": 7, "validation_counts": 1, "num_test": 13}
    entry = dataclasses.replace(entry, spec=dataclasses.replace(entry.spec, **counts), **changes)
    monkeypatch.setitem(DATASETS, "svhn", entry)
    monkeypatch.setattr(local, "check_archive", lambda archive, path: None)
    monkeypatch.setattr(local, "function_of", lambda loader: lambda *paths: iter(samples))
    folder = root / "svhn"
    folder.mkdir(parents=True)
    for archive in entry.archives:
        (folder / archive.name).touch()
    return entry, folder


def samples(count: int, part: Any, sizes: list[tuple[int, int]]) -> list[Sample]:
    shapes = [(3, *sizes[number % len(sizes)]) for number in range(count)]
    return [Sample(part, DRAW.integers(0, 256, shape, dtype=np.uint8), i % 10) for i, shape in enumerate(shapes)]


def test_a_named_set_is_used_from_its_older_cache_without_its_archives(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry, folder = small_svhn(monkeypatch, root, [*samples(70, "train", [(32, 32)]), *samples(13, "test", [(32, 32)])])
    first = load(entry.spec)
    shutil.rmtree(folder)
    older_cache(folder / "prepared-1.npz", first, entry.spec.content)
    again = load(entry.spec)
    assert np.array_equal(again.train.array, first.train.array) and again.content == first.content
    assert "prepared-1.npz" in caplog.text


def test_a_named_set_may_have_images_of_different_sizes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [(32, 32), (17, 40), (5, 9)]
    images = [*samples(70, "train", sizes), *samples(13, "test", sizes)]
    small_svhn(monkeypatch, root, images, sizes_differ=True)
    with pytest.raises(InputError, match=naming("svhn", "dataset.image_size")):
        find("svhn")
    shapes = {load(find("svhn", image_size=size).spec).train.images.shape for size in ((11, 13), (7, 5))}
    assert shapes == {(70, 3, 11, 13), (70, 3, 7, 5)}


def test_a_loader_of_different_sizes_is_refused_where_the_entry_has_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, _ = small_svhn(monkeypatch, root, samples(70, "train", [(32, 32), (17, 40)]))
    with pytest.raises(InputError, match=naming("svhn", "17 x 40", "32 x 32", "dataset.image_size")):
        load(entry.spec)


def test_a_full_disk_is_refused_before_writing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, folder = small_svhn(monkeypatch, root, samples(70, "train", [(32, 32)]))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=naming(str(folder), "not enough space", "--data-root")):
        load(entry.spec)
    assert not list(root.rglob("*.npy"))


def test_verifying_compares_the_cache_with_the_source(tmp_path: Path) -> None:
    resolved = find(birds(tmp_path))
    verify(resolved.spec, resolved.source)
    birds(tmp_path, seed=6)
    with pytest.raises(InputError, match=naming("own", "changed")):
        verify(resolved.spec, resolved.source)


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


@pytest.mark.parametrize(
    ("packing", "version"),
    [
        (zipfile.ZIP_STORED, (2, 0)),
        (zipfile.ZIP_BZIP2, (1, 0)),
        (zipfile.ZIP_LZMA, (3, 0)),
        (zipfile.ZIP_DEFLATED, (1, 0)),
    ],
)
def test_npz_files_of_all_compressions_and_versions_are_read(
    tmp_path: Path, packing: int, version: tuple[int, int]
) -> None:
    members = {name: as_npy(array, version=version) for name, array in made_arrays().items()}
    assert find(zipped(tmp_path / "other.npz", packing, **members)).spec == find(birds(tmp_path)).spec


@pytest.mark.parametrize("shape", [(30, 17, 19, 3), (10**9, 17, 19, 3), (2**60, 2**10, 3), (-31, 17, 19, 3)])
def test_an_array_with_a_wrong_size_in_its_header_is_a_damaged_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    lying = file.getvalue() + made_arrays()["train_images"].tobytes()
    with pytest.raises(InputError, match=naming("birds.npz")):
        find(zipped(tmp_path / "birds.npz", train_images=lying))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_pixels_are_refused_by_name(tmp_path: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "birds.npz"
    save(path, **made_arrays())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("train_images.npy").header_offset
    content = path.read_bytes()
    path.write_bytes(content[: start + 2000] + bytes(3000) + content[start + 5000 :])
    with pytest.raises(InputError) as refused:
        find(f"npz:{path}")
    assert not missing(str(refused.value), path, "numpy.savez")


def test_an_array_in_fortran_order_is_read_only_if_it_fits_into_memory(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    expected = find(birds(tmp_path)).spec
    arrays = made_arrays()
    path = write_npz(tmp_path / "columns.npz", {**arrays, "train_images": np.asfortranarray(arrays["train_images"])})
    assert find(f"npz:{path}").spec == expected
    os.utime(path, ns=(1, 1))
    request.getfixturevalue("little_memory")
    with pytest.raises(InputError) as refused:
        find(f"npz:{path}")
    assert not missing(str(refused.value), path, "train_images", "Fortran", "numpy.ascontiguousarray")


def peak(work: Callable[[], Any]) -> int:
    """Return the peak memory of Python and numpy, in bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_building_and_streaming_keep_few_images_in_memory(tmp_path: Path) -> None:
    count = 2_500
    total = count * 3 * 32 * 32  # 7.7 MB; threads read 512 images ahead

    def stream() -> Iterator[Sample]:
        for number in range(count):
            part: Any = "test" if number % 5 == 0 else "train"
            yield Sample(part, DRAW.integers(0, 256, (3, 32, 32), dtype=np.uint8), number % 7)

    assert peak(lambda: build(RawDataset("tiny", stream()), tmp_path, of="tiny")) < total / 2

    def read() -> None:
        again = open_prepared(tmp_path, of="tiny")
        assert again is not None and sum(1 for _ in again.splits(stream=True).train.images) == count * 4 // 5

    assert peak(read) < total / 2
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "birds.npz", **made_arrays(train=count // 2, test=count // 2, shape=(32, 32, 3)))  # type: ignore[arg-type]
        assert peak(lambda: sum(1 for _ in read_npz(tmp_path / "birds.npz").samples)) < total / 2


@pytest.mark.parametrize(
    "change",
    [
        {"digests": {"train": "00" * 32, "test": "00" * 32}},
        {"digests": {"train": "zz", "test": "zz"}},
        {"digests": {}},
        {"validation": [99999]},
    ],
)
def test_cache_with_a_damaged_index_is_not_used(tmp_path: Path, change: dict[str, Any]) -> None:
    index = small_cache(tmp_path) / "index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | change))
    assert open_prepared(tmp_path, of="made") is None


@pytest.mark.parametrize(("old", "new"), [(b"(4,)", b"(4" + b"0" * 14 + b",)"), (b"}", b" ")])
def test_cache_with_a_damaged_header_is_not_used(tmp_path: Path, old: bytes, new: bytes) -> None:
    labels = small_cache(tmp_path) / "train_labels.npy"
    content = labels.read_bytes()
    padding = len(new) - len(old)
    labels.write_bytes(
        content.replace(old + b", }" + b" " * padding, new + b", }") if padding else content.replace(old, new)
    )
    assert open_prepared(tmp_path, of="made") is None


def small_cache(folder: Path) -> Path:
    """Write a cache of 4 training and 4 test images; return its folder."""
    image = np.zeros((1, 8, 8), dtype=np.uint8)
    samples = [Sample(part, image + row, row % 2) for part in ("train", "test") for row in range(4)]
    build(RawDataset("made", samples), folder, of="made")
    assert open_prepared(folder, of="made") is not None
    return folder
