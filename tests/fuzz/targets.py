"""Properties: a reader of arbitrary input succeeds or raises an `SlbenchError`, and reads back what was written."""

import contextlib
import io
import json
import math
import shutil
import signal
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from slbench.errors import SlbenchError
from slbench.store import Store
from tests.fuzz.strategies import CORPUS, EXTREMES, GOLDEN, PIECES, ROOT, changed, edited, edited_text, lines_of, values
from tests.hostile.archives import Contents
from tests.hostile.datasets import arrays, npy, npy_header
from tests.hostile.records import FOLDER, RUN

SECONDS = 20  # of one input
PARTS = ("train_images", "train_labels", "test_images", "test_labels")
STUDIES = [
    (CORPUS / "study.toml").read_text(),
    (CORPUS / "rule.toml").read_text(),
    (ROOT / "studies/quick.toml").read_text(),
]
MAX_RUNS = 200  # whose identity is read back


class EndlessError(BaseException):
    """An input took longer than `SECONDS`."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise `EndlessError` if the block takes too long."""

    def stop(*_: object) -> None:
        raise EndlessError(f"no end within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        yield Path(name)


def check_message(error: SlbenchError) -> None:
    """Check that an error says something."""
    if not str(error).strip():
        raise AssertionError("an error without a message") from error


@contextlib.contextmanager
def only_user_errors() -> Iterator[None]:
    """Let a block end by success or an error with a message of one line, within the limit of time."""
    with limited():
        try:
            yield
        except SlbenchError as error:
            check_message(error)


@given(edited_text(STUDIES))
def study_file(text: str) -> None:
    """A study file is refused, or its runs keep their ids when their specs are written and read."""
    from pydantic import TypeAdapter

    from slbench.spec import RunSpec
    from slbench.study import load_study

    with scratch() as folder, only_user_errors():
        (folder / "x.toml").write_text(text, encoding="utf-8", errors="replace")
        for run in load_study(folder / "x.toml").runs[:MAX_RUNS]:
            assert TypeAdapter(RunSpec).validate_json(json.dumps(run.spec.as_dict())).run_id == run.spec.run_id


@given(st.sampled_from(STUDIES[:2]).map(tomllib.loads).flatmap(changed))
def study_content(content: dict[str, Any]) -> None:
    """The content of a study file is refused or expanded."""
    from slbench.study import make_study

    with only_user_errors():
        make_study(content, name="x", where="x.toml")


@given(edited_text(lines_of("settings.txt")) | st.builds("{}={}".format, st.sampled_from(lines_of("settings.txt")).map(
    lambda line: line.partition("=")[0]), st.sampled_from(EXTREMES) | values().map(str)))  # fmt: skip
def setting(text: str) -> None:
    """A value of --set is refused or expanded."""
    from slbench.cli.options import parsed
    from slbench.study import Flags, make_study

    with only_user_errors():
        make_study({}, name="x", where="x", flags=Flags(grid={"method": ["none"]}, set=parsed([text])))


@cache
def report_inputs() -> Any:
    from slbench.report.inputs import gather_store

    return gather_store(Store(GOLDEN / "store"))


def chosen(query: str) -> set[str]:
    """Return the ids of the runs that a query selects; empty if it is refused."""
    from slbench.report.inputs import only

    try:
        return {record.run_id for record in only(report_inputs(), query).records}
    except SlbenchError as error:
        check_message(error)
        return set()


@given(edited_text(lines_of("queries.txt")))
def query(text: str) -> None:
    """A query is refused or selects runs; it runs nothing."""
    with limited():
        chosen(text)
    assert not Path("pwned").exists()


Condition = tuple[str, Callable[[Mapping[str, Any]], bool]]  # a query and what it means
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


def comparisons() -> st.SearchStrategy[Condition]:
    def of_number(column: str, sign: str, value: float) -> Condition:
        return f"{column} {sign} {value!r}", lambda row: COMPARISONS[sign](row[column], value)

    def of_text(sign: str, value: str) -> Condition:
        return f"method {sign} '{value}'", lambda row: COMPARISONS[sign](row["method"], value)

    def of_list(column: str, seeds: list[int], negated: bool) -> Condition:
        return f"{column} {'not ' * negated}in {seeds}", lambda row: (row[column] in seeds) != negated

    numbers = st.integers(-2, 30) | st.floats(-1, 60, allow_nan=False)
    columns = st.sampled_from(("seed", "final_test_top1", "recipe_lr", "recipe_epochs"))
    return st.one_of(
        st.builds(of_number, columns, st.sampled_from(list(COMPARISONS)), numbers),
        st.builds(of_text, st.sampled_from(("==", "!=")), st.sampled_from(("none", "lsa", "both", "x"))),
        st.builds(of_list, columns, st.lists(st.integers(0, 9), min_size=1, max_size=4), st.booleans()),
    )


def conditions() -> st.SearchStrategy[Condition]:
    """Draw a valid query with its meaning."""

    def joined(left: Condition, word: str, right: Condition) -> Condition:
        mean = (
            (lambda row: left[1](row) and right[1](row))
            if word == "and"
            else (lambda row: left[1](row) or right[1](row))
        )
        return f"({left[0]}) {word} ({right[0]})", mean

    def negated(inner: Condition) -> Condition:
        return f"not ({inner[0]})", lambda row: not inner[1](row)

    return st.recursive(
        comparisons(),
        lambda inner: st.builds(joined, inner, st.sampled_from(("and", "or")), inner) | inner.map(negated),
        max_leaves=5,
    )


@given(conditions())
def valid_query(condition: Condition) -> None:
    """A valid query selects the runs for which it holds."""
    frame = report_inputs().frame
    expected = {str(run) for run, row in frame.iterrows() if condition[1](row)}
    assert chosen(condition[0]) == expected, condition[0]


@cache
def golden_record() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((GOLDEN / "store/runs" / FOLDER / "record.json").read_bytes())
    return content


def records() -> st.SearchStrategy[dict[str, Any]]:
    """Draw a record with one or two changes, half of them numbers in place of results."""
    numbers = st.floats() | st.integers(-2, 130) | st.sampled_from((10**400, "99", None, True))
    results = {key: value for key, value in golden_record().items() if isinstance(value, int | float)}
    replaced = changed(results, numbers).map(
        lambda new: {**golden_record(), **new} if set(results) <= set(new) else new
    )
    return changed(golden_record()) | replaced


@given(st.deferred(records))
def record(content: dict[str, Any]) -> None:
    """A record is refused, or has finite accuracies in percent and reads back as written; a report survives it."""
    from slbench.report.inputs import gather_store

    with scratch() as root:
        folder = root / "runs" / FOLDER
        shutil.copytree(GOLDEN / "store/runs" / FOLDER, folder)
        (folder / "record.json").write_text(json.dumps(content), encoding="utf-8", errors="surrogatepass")
        with only_user_errors():
            for found in gather_store(Store(root)).records:
                check_record(found)


def check_record(found: Any) -> None:
    """Check a record that enters a report."""
    assert type(found).model_validate_json(found.model_dump_json()) == found
    assert found.run_id == found.spec.run_id == RUN
    for name in ("final_test_top1", "final_test_top5", "final_val_top1", "selected_test_top1", "best_test_top1"):
        assert getattr(found, name) is None or 0 <= getattr(found, name) <= 100, name
    assert math.isfinite(found.final_test_loss) and math.isfinite(found.final_train_loss)
    assert min(found.steps, found.params, found.threads) > 0 and found.macs >= 0


@given(
    st.sampled_from(("spec.json", "record.json", "metrics.csv", "failure.json", "pruned.json", "diverged.json")),
    edited([path.read_bytes() for path in sorted(GOLDEN.glob("store/runs/*/*.*")) if path.suffix in (".json", ".csv")],
           [piece.encode() for piece in PIECES]),
)  # fmt: skip
def stored_file(name: str, content: bytes) -> None:
    """A damaged file of a run is refused by every reader of a store, or read."""
    from slbench.record import read_failure
    from slbench.report.inputs import gather_store
    from slbench.store import read_ended, state_of

    with scratch() as root:
        folder = root / "runs" / FOLDER
        shutil.copytree(GOLDEN / "store/runs" / FOLDER, folder)
        (folder / name).write_bytes(content)
        readers: tuple[Callable[[], Any], ...] = (
            lambda: state_of(folder), lambda: read_failure(folder), lambda: read_ended(folder),
            lambda: gather_store(Store(root)),
        )  # fmt: skip
        for read in readers:
            with only_user_errors():
                read()


def import_into_new_store(write: Callable[[Path], Any]) -> None:
    """Import an archive: refused whole, or its runs are readable."""
    from slbench.archive.import_archive import import_archive

    with scratch() as folder:
        write(folder / "x.tar")
        store = Store(folder / "store")
        with limited():
            try:
                import_archive(folder / "x.tar", store)
            except SlbenchError as error:
                check_message(error)
                assert not [path for path in store.root.rglob("*") if path.is_file()], (
                    "refused, but the store is changed"
                )
                return
            for run_id in store.ids():
                found = store.record(run_id)
                assert found is not None
                if run_id == RUN:
                    check_record(found)
        assert {path.name for path in folder.iterdir()} == {"x.tar", "store"}


@cache
def golden_archive() -> bytes:
    with scratch() as folder:
        Contents().write(folder / "x.tar")
        return (folder / "x.tar").read_bytes()


@given(st.deferred(lambda: edited([golden_archive()], [bytes(512), b"../x", b"9" * 12, b"\xff" * 8])))
def archive_bytes(content: bytes) -> None:
    """An archive of changed bytes is refused whole, or its runs are readable."""
    import_into_new_store(lambda path: path.write_bytes(content))


@given(
    st.dictionaries(st.sampled_from(sorted(Contents().files)), st.binary(max_size=60), max_size=2),
    st.dictionaries(
        st.text(max_size=20).map(f"runs/{FOLDER}/".__add__) | st.text(max_size=20), st.binary(max_size=9), max_size=1
    ),
    st.data(),
)
def archive_content(replaced: dict[str, bytes], more: dict[str, bytes], data: st.DataObject) -> None:
    """An archive of changed files, checksums made to agree, is refused whole, or its runs are readable."""

    def write(path: Path) -> None:
        contents = Contents()
        contents.files.update(replaced | more)
        if data.draw(st.booleans()):
            contents.files[f"runs/{FOLDER}/record.json"] = json.dumps(data.draw(records())).encode()
        if data.draw(st.booleans()):
            contents.manifest_bytes = None
            contents.manifest = lambda manifest: update(manifest, data.draw(changed(manifest)))
        try:
            contents.write(path)
        except ValueError:
            assume(False)  # no such name in a tar file

    import_into_new_store(write)


def update(manifest: dict[str, Any], new: Any) -> None:
    assume(isinstance(new, dict))
    manifest.clear()
    manifest.update(new)


def read_images(path: Path) -> list[Any]:
    from slbench.data.own.npz import read_npz

    return list(read_npz(path).samples)


def write_members(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


HEADERS = [
    "{'descr': '|u1', 'fortran_order': False, 'shape': (20, 8, 8), }",
    "{'descr': '<i8', 'fortran_order': True, 'shape': (20,), }",
    "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (20, 8, 8, 3), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': ()}",
]


@given(
    st.sampled_from(PARTS),
    edited_text(HEADERS),
    st.sampled_from(((1, 0), (2, 0), (3, 0), (9, 0))),
    st.integers(0, 1300),
)
def npz_header(name: str, header: str, version: tuple[int, int], size: int) -> None:
    """An array with any header is refused or read."""
    with scratch() as folder:
        members = {part: npy(array) for part, array in arrays().items()}
        try:
            members[name] = npy_header(header, version, bytes(size))
        except Exception:
            assume(False)  # longer than this version can say
        write_members(folder / "x.npz", members)
        with only_user_errors():
            read_images(folder / "x.npz")


@cache
def small_npz() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays())  # type: ignore[arg-type]
    return buffer.getvalue()


@given(st.deferred(lambda: edited([small_npz()], [bytes(8), b"\xff" * 4, b"PK\x01\x02", b"PK\x05\x06"])))
def npz_bytes(content: bytes) -> None:
    """A damaged npz file is refused or read."""
    with scratch() as folder:
        (folder / "x.npz").write_bytes(content)
        with only_user_errors():
            read_images(folder / "x.npz")


@given(
    st.integers(2, 9), st.integers(1, 5), st.integers(1, 5), st.sampled_from((None, 1, 3, 4)), st.integers(0, 2**32 - 1)
)
def valid_npz(count: int, height: int, width: int, channels: int | None, seed: int) -> None:
    """Images and labels of a valid file are read as they were written."""
    assume(channels is None or not (height <= 4 < min(width, channels)))  # would be channels first
    draw = np.random.default_rng(seed)
    shape = (count, height, width) if channels is None else (count, height, width, channels)
    content: dict[str, Any] = {
        f"{part}_images": draw.integers(0, 256, shape, dtype=np.uint8) for part in ("train", "test")
    }
    labels: dict[str, Any] = {f"{part}_labels": np.arange(count) % 2 for part in ("train", "test")}
    with scratch() as folder:
        np.savez(folder / "x.npz", **content, **labels)
        samples = read_images(folder / "x.npz")
    images = content["train_images"] if channels else content["train_images"][..., None]
    assert [sample[2] for sample in samples[:count]] == labels["train_labels"].tolist()
    assert all(
        np.array_equal(sample[1], image.transpose(2, 0, 1)) for sample, image in zip(samples, images, strict=False)
    )


def payloads() -> st.SearchStrategy[bytes]:
    """Draw what a checkpoint may hold: any tree of values and tensors, or bytes that are none."""
    import torch

    def saved(state: Any) -> bytes:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return buffer.getvalue()

    tensors = st.lists(st.floats(width=32), max_size=3).map(torch.tensor)
    trees = st.recursive(
        values() | tensors, lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5
    )
    return trees.map(saved) | st.binary(max_size=50)


@given(st.deferred(payloads), st.booleans(), st.data())
def checkpoint(payload: bytes, is_sealed: bool, data: st.DataObject) -> None:
    """A checkpoint of any content is a state or is passed over; the older one is then found."""
    from slbench.train.checkpoint import Checkpoints, sealed

    with scratch() as folder:
        checkpoints = Checkpoints(folder)
        checkpoints.save({"older": 1})
        checkpoints.save({"newer": 1})
        content = sealed(payload) if is_sealed else data.draw(edited([checkpoints.current.read_bytes()], [bytes(64)]))
        checkpoints.current.write_bytes(content)
        with limited():
            state = checkpoints.load()
        if not is_sealed:
            assert state in ({"older": 1}, {"newer": 1})


@given(edited_text([(CORPUS / "search.toml").read_text(), (GOLDEN / "search.toml").read_text()]))
def search_file(text: str) -> None:
    """A search file is refused or read."""
    from slbench.tuning.search_file import load_search_file

    with scratch() as folder, only_user_errors():
        (folder / "x.toml").write_text(text, encoding="utf-8", errors="replace")
        load_search_file(folder / "x.toml")


TARGETS: dict[str, Callable[[], None]] = {
    target.__name__: target
    for target in (
        study_file, study_content, setting, query, valid_query, record, stored_file, archive_bytes, archive_content,
        npz_header, npz_bytes, valid_npz, checkpoint, search_file,
    )
}  # fmt: skip
