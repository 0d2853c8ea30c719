"""`slbench data` with a local server and a small data set in the format of a published one."""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from slbench.data import DATASETS, DataConfig, find, open_dataset
from slbench.data.build import RawDataset, build
from slbench.data.sets import image_list
from slbench.data.sets.class_names import CLASS_NAMES
from slbench.data.sets.published import FASHION_MNIST, Archive
from slbench.data.specs import ARCHIVES, ARRAYS
from tests.cli.conftest import Command
from tests.data.made import idx, made_arrays, write_npz
from tests.data.server import Server, listing, serving
from tests.support import missing


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve a Fashion-MNIST of 60 and 20 images in place of the published one."""
    draw = np.random.default_rng(2)
    files = {}
    for part, count in (("train", 60), ("t10k", 20)):
        files[f"/{part}-images-idx3-ubyte.gz"] = idx(draw.integers(0, 256, (count, 28, 28)))
        files[f"/{part}-labels-idx1-ubyte.gz"] = idx(np.arange(count) % 10)
    with serving(files) as server:
        archives = tuple(
            Archive(one.name, hashlib.md5(files[f"/{one.name}"]).hexdigest(), (server.url(f"/{one.name}"),))
            for one in FASHION_MNIST
        )
        entry = DATASETS["fashion-mnist"]
        spec = dataclasses.replace(
            entry.spec,
            content=ARCHIVES + "+".join(one.md5 for one in archives),
            train_counts=6,
            validation_counts=1,
            num_test=20,
        )
        monkeypatch.setitem(DATASETS, "fashion-mnist", dataclasses.replace(entry, spec=spec, archives=archives))
        yield server


def state(slbench: Command) -> str:
    document = json.loads(slbench("data", "list", "--json").out)
    words: str = document["sets"]["fashion-mnist"]
    return words


def test_the_data_root_is_the_flag_else_the_variable_else_the_cache_folder(
    slbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("SLBENCH_DATA", "")

    def data_root(*flags: str | Path) -> str:
        root: str = json.loads(slbench("data", "list", "--json", *flags).out)["root"]
        return root

    assert data_root() == f"{tmp_path}/cache/slbench/data"
    monkeypatch.setenv("SLBENCH_DATA", str(tmp_path / "variable"))
    assert data_root() == f"{tmp_path}/variable"
    assert data_root("--data-root", tmp_path / "flag") == f"{tmp_path}/flag"


@pytest.mark.usefixtures("verified_data")
@pytest.mark.parametrize("command", ["doctor", "report"])
def test_commands_that_read_data_have_the_flag_data_root(
    slbench: Command, tmp_path: Path, root: Path, command: str
) -> None:
    """A report of a study of `imagenet` reads its folder."""
    study = tmp_path / "study.toml"
    study.write_text('[grid]\nmethod = ["none"]\ndataset = ["imagenet"]\n')
    arguments = (study,) if command == "report" else ()
    result = slbench(command, *arguments, "--store", tmp_path / "results", "--data-root", root / "mine")
    assert str(root / "mine") in result.out + result.err


@pytest.mark.usefixtures("server")
def test_a_data_set_is_fetched_prepared_and_verified(slbench: Command, root: Path) -> None:
    assert state(slbench) == "not here"
    result = slbench("data", "fetch", "fashion-mnist")
    assert result.code == 0 and not missing(result.out, "fashion-mnist", f"{root}/fashion-mnist")
    assert state(slbench) == "ready"
    assert not missing(slbench("data", "verify", "fashion-mnist").out, "fashion-mnist")
    assert slbench("data", "fetch", "fashion-mnist").code == 0


@pytest.mark.usefixtures("server")
def test_a_data_set_is_prepared_from_local_files(slbench: Command, tmp_path: Path, root: Path, server: Server) -> None:
    for name, content in server.files.items():
        (tmp_path / name.strip("/")).write_bytes(content)
    first, *others = sorted(tmp_path.glob("*.gz"))
    result = slbench("data", "fetch", "fashion-mnist", "--from", first, "--json")
    assert result.code == 1
    assert len(json.loads(result.out)["missing"]) == 3
    assert not missing(result.err, "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-labels-idx1")
    result = slbench("data", "fetch", "fashion-mnist", *(part for path in others for part in ("--from", path)))
    assert result.code == 0 and not missing(result.out, "fashion-mnist", f"{root}/fashion-mnist")
    assert server.requests == []


@pytest.mark.usefixtures("server")
def test_verify_names_a_damaged_archive(slbench: Command, root: Path) -> None:
    slbench("data", "fetch", "fashion-mnist")
    damaged = root / "fashion-mnist" / FASHION_MNIST[0].name
    damaged.write_bytes(b"damaged")
    result = slbench("data", "verify", "fashion-mnist")
    assert (result.code, result.out) == (2, "")
    assert not missing(
        result.err,
        damaged,
        "md5",
        hashlib.md5(b"damaged").hexdigest(),
        DATASETS["fashion-mnist"].archives[0].md5,
        "slbench data fetch fashion-mnist",
    )


@pytest.mark.usefixtures("server")
def test_verify_replaces_damaged_prepared_files(slbench: Command, root: Path) -> None:
    slbench("data", "fetch", "fashion-mnist")
    (prepared,) = (root / "fashion-mnist").rglob("train_images.npy")
    content = prepared.read_bytes()
    prepared.write_bytes(content[:-50] + bytes(range(50)))
    assert slbench("data", "verify", "fashion-mnist").code == 0
    assert prepared.read_bytes() == content


def test_a_data_set_of_another_size_than_published_is_refused(
    slbench: Command, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = DATASETS["fashion-mnist"]
    spec = dataclasses.replace(entry.spec, num_test=21)
    monkeypatch.setitem(DATASETS, "fashion-mnist", dataclasses.replace(entry, spec=spec))
    result = slbench("data", "fetch", "fashion-mnist")
    assert (result.code, result.out) == (2, "")
    assert not missing(result.err, "fashion-mnist", "20", "21")
    assert listing(root / "fashion-mnist") == sorted(one.name for one in entry.archives)
    assert len(server.requests) == 4


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("size", [32, 40])
def test_training_from_memory_equals_training_from_disk(
    slbench: Command, root: Path, tmp_path: Path, size: int
) -> None:
    slbench("data", "fetch", "fashion-mnist", "--data-root", root / "other")
    arguments = ("train", "--dataset", "fashion-mnist", "--method", "none", "--data-root", root / "other", "--json")
    small = ("--epochs", 1, "--batch-size", 10, "--set", "backbone.dim=8", "--set", "backbone.depth=1")
    shape = ("--set", "backbone.num_heads=1", "--set", f"dataset.image_size={size}")
    records = []
    for store in ("in-memory", "streamed"):
        result = slbench(
            *arguments, *small, *shape, "--store", tmp_path / store, *(["--stream"] if store == "streamed" else [])
        )
        assert result.code == 0, result.err
        records.append(json.loads(result.out))
    assert (os.environ["SLBENCH_STREAM"], os.environ["SLBENCH_DATA"]) == ("", str(root))
    in_memory, streamed = records
    assert (in_memory["samples_seen"], in_memory["labels"]["data"]) == (50, "")
    for key in ("run_id", "weights_sha256", "data_sha256", "final_test_loss"):
        assert in_memory[key] == streamed[key]
    assert len(list(root.rglob("train_images.npy"))) == 1 and not (root / "fashion-mnist").exists()


def test_a_failed_download_is_one_line_and_the_other_files_are_kept(
    slbench: Command, root: Path, server: Server
) -> None:
    content = server.files.pop("/train-labels-idx1-ubyte.gz")
    result = slbench("data", "fetch", "fashion-mnist")
    assert result.code == 1 and "train-images-idx3-ubyte.gz" in result.err and "HTTP Error 404" in result.err
    assert listing(root / "fashion-mnist") == ["train-images-idx3-ubyte.gz"]
    again = slbench("data", "fetch", "fashion-mnist")
    assert not missing(again.err, "train-labels-idx1-ubyte.gz")
    assert again.err.count("\n") == 1
    server.files["/train-labels-idx1-ubyte.gz"] = content
    assert slbench("data", "fetch", "fashion-mnist").code == 0


@pytest.mark.usefixtures("root")
def test_own_data_are_verified_by_their_hash(slbench: Command, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "birds.npz", made_arrays())
    content = json.loads(slbench("data", "info", f"npz:{path}", "--json").out)["content"]
    assert json.loads(slbench("data", "verify", f"npz:{path}", "--json").out)["content"] == content
    result = slbench("data", "verify", f"npz:{path}")
    assert (result.code, result.out) == (0, f"npz:{path}: verified, {content[: len('arrays sha256:') + 12]}\n")
    times = path.stat()
    write_npz(path, made_arrays(seed=6))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # equal size and time
    result = slbench("data", "verify", f"npz:{path}")
    assert (result.code, result.out) == (2, "")
    assert "the images have changed: expected " + content[: len("arrays sha256:") + 12] in result.err


def test_missing_data_are_reported_before_a_job_starts(slbench: Command, root: Path, tmp_path: Path) -> None:
    for command in ("run-grid", "train"):
        result = slbench(command, "--dataset", "cifar100", "--method", "none", "--store", tmp_path / "results")
        result.check_error("cifar100", root, "slbench data fetch cifar100")
        assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("root", "server")
def test_a_subset_is_rebuilt_from_a_list_of_its_images(slbench: Command, tmp_path: Path) -> None:
    """The rebuilt file is the same data: its content, and so the runs on it, have the same hash."""
    slbench("data", "fetch", "fashion-mnist")
    whole = open_dataset(DATASETS["fashion-mnist"].spec, "", DataConfig.read()).splits(stream=False)
    chosen = np.arange(60) % 3 > 0
    names = np.array(CLASS_NAMES["fashion-mnist"])
    arrays = {
        "classes": names,
        "train_images": whole.train.array[chosen, 0],
        "train_labels": whole.train.labels[chosen],
    }
    for part, rows in (("all", slice(None)), ("some", slice(1, None))):
        mine = {"test_images": whole.test.array[rows, 0], "test_labels": whole.test.labels[rows]}
        own = write_npz(tmp_path / f"{part}.npz", arrays | mine)
        images, rebuilt = tmp_path / f"{part}.json", tmp_path / f"{part}-rebuilt.npz"
        more, counts = ["--json"] * (part == "all"), (40, 20 if part == "all" else 19)
        listing = slbench("data", "list-images", f"npz:{own}", images, "--of", "fashion-mnist", *more)
        result = slbench("data", "subset", images, rebuilt, *more)
        assert (listing.code, result.code) == (0, 0)
        for output in (listing.out, result.out):
            if more:
                assert (json.loads(output)["train"], json.loads(output)["test"]) == counts
            else:
                assert not missing(output, f"{counts[0]} training", f"{counts[1]} test")
        assert find(f"npz:{rebuilt}").spec == find(f"npz:{own}").spec
    assert not missing(slbench("data", "subset", images, rebuilt).err, rebuilt, "exists")
    listed = json.loads(images.read_text())
    for key, value, words in (
        ("train", dict.fromkeys(names, "0" * 10), ["train", "lacks", "0000000000"]),
        ("train", listed["train"] | {"Boat": ""}, ["train", "Boat"]),
        ("content", "arrays sha256:" + "0" * 64, ["content", "000000000000"]),
        ("dataset", "fashion", ["dataset", "fashion", "fashion-mnist"]),
        ("test", "most", ["test", "most"]),
    ):
        images.write_text(json.dumps(listed | {key: value}))
        result = slbench("data", "subset", images, tmp_path / "new.npz")
        assert result.code == 2 and not missing(result.err, images, *words)
    assert not (tmp_path / "new.npz").exists()
    result = slbench("data", "list-images", f"npz:{own}", images, "--of", "cifar10")
    assert result.code == 2 and not missing(result.err, "--of cifar10", "Ankle boot", "airplane")


@pytest.mark.usefixtures("server")
def test_a_named_subset_is_taken_from_its_set_or_from_a_copy(
    slbench: Command, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways prepare the same images; a copy with another image is refused, and the images stay as they were."""
    slbench("data", "fetch", "fashion-mnist")
    whole = open_dataset(DATASETS["fashion-mnist"].spec, "", DataConfig.read()).splits(stream=False)
    arrays = {"classes": np.array(CLASS_NAMES["fashion-mnist"])}
    for part, taken in (("train", whole.train.take(np.flatnonzero(np.arange(60) % 6 > 1))), ("test", whole.test)):
        arrays |= {f"{part}_images": taken.array[:, 0], f"{part}_labels": taken.labels}
    copy, images = write_npz(tmp_path / "copy.npz", arrays), tmp_path / "images.json"
    slbench("data", "list-images", f"npz:{copy}", images, "--of", "fashion-mnist")
    monkeypatch.setattr(image_list, "list_of", lambda name: image_list.read_list(images))
    with tempfile.TemporaryDirectory() as folder:
        content = build(RawDataset("copy", image_list.read_copy("fashion-mnist", copy)), Path(folder)).index.content
    entry = DATASETS["fashion-mnist-10k"]
    spec = dataclasses.replace(entry.spec, content=ARRAYS + content, train_counts=4, validation_counts=0, num_test=20)
    monkeypatch.setitem(DATASETS, "fashion-mnist-10k", dataclasses.replace(entry, spec=spec))

    shutil.rmtree(root / "fashion-mnist")  # downloaded again
    fetched = json.loads(slbench("data", "fetch", "fashion-mnist-10k", "--json").out)
    assert (fetched["ready"], fetched["folder"]) == (True, str(root / "fashion-mnist-10k"))
    prepared = open_dataset(spec, "", DataConfig.read())
    for name in ("fashion-mnist", "fashion-mnist-10k"):
        shutil.rmtree(root / name)
    assert slbench("data", "fetch", "fashion-mnist-10k", "--from", copy).code == 0
    assert open_dataset(spec, "", DataConfig.read()).index.digests == prepared.index.digests
    assert slbench("data", "verify", "fashion-mnist-10k").code == 0

    arrays["train_images"][3, 0, 0] ^= 1
    result = slbench("data", "fetch", "fashion-mnist-10k", "--from", write_npz(copy, arrays))
    assert result.code == 2 and not missing(result.err, "fashion-mnist-10k", content[:12])
    assert slbench("data", "verify", "fashion-mnist-10k").code == 0
    arrays["classes"] = np.arange(10)
    result = slbench("data", "fetch", "fashion-mnist-10k", "--from", write_npz(copy, arrays))
    assert result.code == 2 and not missing(result.err, copy, "classes", "Ankle boot")


def test_the_embedded_data_set_cannot_be_fetched(slbench: Command) -> None:
    result = slbench("data", "fetch", "fashion-mnist-12k")
    result.check_error("fashion-mnist-12k")
    assert not missing(slbench("data", "verify", "fashion-mnist-12k").out, "fashion-mnist-12k")


def test_imagenet_cannot_be_fetched_and_is_read_from_its_folder(slbench: Command, root: Path) -> None:
    result = slbench("data", "fetch", "imagenet")
    result.check_error("imagenet", "ILSVRC 2012")
    assert not missing(json.loads(slbench("data", "list", "--json").out)["sets"]["imagenet"], "folder")
    (root / "imagenet").mkdir(parents=True)
    assert json.loads(slbench("data", "list", "--json").out)["sets"]["imagenet"] == "here"


@pytest.mark.usefixtures("root")
def test_info_describes_published_and_own_data(slbench: Command, tmp_path: Path) -> None:
    svhn = json.loads(slbench("data", "info", "svhn", "--json").out)
    assert svhn["train_counts"][1] == 13861
    assert [archive["name"] for archive in svhn["archives"]] == ["train_32x32.mat", "test_32x32.mat"]
    birds = f"npz:{write_npz(tmp_path / 'birds.npz', made_arrays())}"
    own = json.loads(slbench("data", "info", birds, "--json").out)
    assert (own["label"], own["num_classes"], own["image_size"]) == ("birds", 3, [17, 19])
    lines = slbench("data", "info", "svhn").out.splitlines()
    assert not missing(lines[2], "training", "73,257", "7,326")
    assert ["1", "13,861", "1,386"] in [line.split()[-3:] for line in lines]
    assert not missing(slbench("data", "info", birds).out, "birds", "17 x 19 px", "stork")
    unnamed = {name: array for name, array in made_arrays().items() if name != "classes"}
    assert not missing(slbench("data", "info", f"npz:{write_npz(tmp_path / 'unnamed.npz', unnamed)}").out, "class 2")


@pytest.mark.parametrize(
    "command",
    [
        ("data", "list"),
        ("data", "fetch", "svhn"),
        ("train", "--dataset", "cifar10"),
        ("train", "--dataset", "imagenet"),
    ],
    ids=str,
)
def test_an_unreadable_data_root_is_one_line(slbench: Command, tmp_path: Path, command: tuple[str, ...]) -> None:
    arguments = (*command, "--method", "none") if command[0] == "train" else command
    result = slbench(*arguments, "--data-root", tmp_path / ("x" * 300))
    result.check_error("--data-root", "SLBENCH_DATA")
    assert not list(tmp_path.iterdir())
