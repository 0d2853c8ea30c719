"""Full texts of messages: errors for the bad input of other tests, and output of informative commands.

Other tests only assert keys, values and allowed values. After an intended change, rewrite the file with
`python -m tests.golden.test_messages > tests/golden/messages.txt`.
"""

import contextlib
import dataclasses
import functools
import io
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import typer.main

import tests.test_validation as validation
from slbench import machine
from slbench.archive.export import export
from slbench.archive.import_archive import import_archive
from slbench.cli import main
from slbench.data import find
from slbench.errors import SlbenchError
from slbench.record import Failure
from slbench.store import Store
from slbench.study import load_study
from slbench.tuning.storage import open_storage
from slbench.validation import checked
from tests.archive import test_archive
from tests.archive.conftest import RUNS, finish
from tests.cli import test_bad_input, test_plan, test_profile, test_report, test_status, test_tune
from tests.cli import test_upkeep as upkeep
from tests.data import test_own, test_subset
from tests.study import test_refused, test_seeds, test_table
from tests.support import TINY_STUDY, make_speed, runs, study
from tests.tuning import test_storage

FILE = Path(__file__).with_name("messages.txt")

OTHERS = [
    ("list", "method"),
    ("run-gird",),
    ("run-grid", "y.toml"),
    ("run-grid", "nowhere.toml"),
    ("run-grid", "."),
    ("run-grid", "--method", "none", "--set", "recipe.betas=[0.9, 0.99, 0.999]"),
    ("run-grid", "--method", "none", "--set", "recipe.betas=[0.9]"),
    ("run-grid", "--method", "none", "--dataset", "cifar10", "--devices", "cpu"),
    ("train", "--method", "none,lsa"),
    ("report",),
    ("report", "y.toml"),
    ("report", ".."),
    ("analyze", "attention"),
    ("analyze", "attention", "0123"),
    ("analyze", "attention", "nowhere"),
    ("analyze", "attention", "."),
    ("analyze", "attention", "--seed", "1"),
    ("analyze", "attention", "--study", "x.toml", "--seed", "7"),
    ("data", "fetch", "cifr10"),
    ("data", "fetch", "fashion-mnist-12k"),
    ("data", "verify", "cifar10"),
]


def inputs(module: ModuleType, column: str) -> Iterator[Any]:
    """Yield the first column of a module's two-column tables of bad input and expected parts."""
    for test in list(vars(module).values()):
        for mark in getattr(test, "pytestmark", []):
            if mark.name == "parametrize" and len(mark.args[0]) == 2 and mark.args[0][0] == column:
                yield from (row[0] for row in mark.args[1])


def error_of(function: Callable[..., object], *values: Any, **named: Any) -> str:
    """Return the text of the error that a call raises."""
    try:
        function(*values, **named)
    except SlbenchError as error:
        return str(error)
    return "no error"


def output_of(*arguments: object) -> str:
    """Return the exit code and the output of a command."""
    before = signal.getsignal(signal.SIGTERM)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        code = main([str(argument) for argument in arguments])
    signal.signal(signal.SIGTERM, before)
    return f"exit code {code}\n{out.getvalue()}"


def errors_of_studies() -> Iterator[tuple[object, str]]:
    """Yield invalid study files, tables, seed rules, flags and subsets, each with its error."""
    for module in (test_refused, test_seeds):
        for content in inputs(module, "content"):
            yield content, error_of(study, content)
    for flags in inputs(test_refused, "flags"):
        yield flags, error_of(study, {}, **flags)
    grid = {"backbone": ["vit"], "method": ["none", "lsa"]}
    for report in inputs(test_table, "report"):
        yield {"report": report}, error_of(study, {"grid": grid, "report": report})
    for change in inputs(test_subset, "change"):
        yield change, error_of(runs, set=change)
    for value in inputs(validation, "value"):
        if isinstance(value, dict) and value.keys() & {field.name for field in dataclasses.fields(validation.Sample)}:
            yield value, error_of(checked, validation.Sample, value, where="f")


def errors_of_data(folder: Path) -> Iterator[tuple[object, str]]:
    """Yield npz files with an invalid array, missing files and folders, and unreachable storages."""
    for name, (changes, _) in test_own.WRONG.items():
        yield name, error_of(find, test_own.npz(folder / "birds.npz", **changes))
    for name in ("npz:bird.npz", "npz:", "folder:nowhere", "folder:birds.npz", "cifr10"):
        yield name, error_of(find, name)
    for url in inputs(test_storage, "url"):
        if "postgresql" not in url:
            yield url, error_of(open_storage, url, folder)


def errors_of_commands(folder: Path) -> Iterator[tuple[object, str]]:
    """Yield commands with an invalid flag or file, with their output."""
    path, store = folder / "x.toml", ("--store", folder / "results")
    for flags, _ in test_bad_input.FLAGS.values():
        yield flags, output_of("run-grid", *flags, "--plan", *store)
    for content in ("titel = 'x'", "title = 'x'\n[grid\n"):
        path.write_text(content)
        yield content, output_of("run-grid", path, "--plan", *store)
    for method, content, _ in test_tune.SEARCHES.values():
        path.write_text(content)
        yield content, output_of("tune-temperature", "--method", method, "--search", path, *store)
    path.write_text(TINY_STUDY)
    for flags in inputs(test_plan, "flags"):
        yield flags, output_of("run-grid", path, *flags, *store)
    for arguments in inputs(test_profile, "arguments"):
        yield arguments, output_of("profile", *arguments, *store)
    for arguments in inputs(test_tune, "arguments"):
        yield arguments, output_of("tune-temperature", *test_tune.TINY, *arguments, *store)
    for arguments in inputs(test_status, "arguments"):
        yield arguments, output_of(*(path if word == "STUDY" else word for word in arguments), *store)
    for arguments in inputs(upkeep, "arguments"):
        yield arguments, output_of(*arguments)
    for arguments in OTHERS:
        yield arguments, output_of(*arguments, *(() if arguments[0] in ("list", "data") else store))


def errors_of_stores(folder: Path) -> Iterator[tuple[object, str]]:
    """Yield unusable stores and unreadable records."""
    (folder / "file").touch()
    doctor = output_of("doctor", "--store", folder / "file").splitlines()
    yield "a file", "\n".join(line for line in doctor if "store" in line)
    (run,) = runs()
    for name, content in [("no JSON", "garbage"), ("an empty record", "{}"), ("another version", '{"schema": 1}')]:
        store = Store(folder / name)
        (finish(store, run) / "record.json").write_text(content)
        yield name, error_of(store.record, run.spec.run_id)


def errors_of_archives(folder: Path) -> Iterator[tuple[object, str]]:
    """Yield archives that were changed after export."""
    there, path = Store(folder / "there"), folder / "x.tar"
    for run in RUNS:
        finish(there, run)
    there.add_throughput(make_speed())
    for change in inputs(test_archive, "change"):
        export(there, None, path, replace=True)
        test_archive.rewrite(path, change)
        yield change.__name__, error_of(import_archive, path, Store(folder / "here"))


def reports(folder: Path) -> Iterator[tuple[object, str]]:
    """Yield the output of commands on a study with one finished and one failed run."""
    path, store = folder / "tiny.toml", Store(folder / "tiny")
    path.write_text(TINY_STUDY)
    first, second = load_study(path).runs
    finish(store, first)
    store.begin(second.spec, second.labels)
    store.fail(second.spec, second.labels, Failure(kind="killed", reason="killed by SIGKILL"))
    store_flag = ("--store", store.root)
    yield "status", output_of("status", path, *store_flag)
    yield "plan", output_of("run-grid", path, *store_flag, "--plan", "--devices", "cpu", "--jobs-per-device", "1")
    yield "report", output_of("report", path, *store_flag, "--format", "md")
    for flags in inputs(test_report, "flags"):
        yield flags, output_of("report", path, *flags, *store_flag)
    yield "export", output_of("export", "--all", folder / "a.tar", *store_flag)
    yield "import", output_of("import", folder / "a.tar", "--store", folder / "b")
    yield "import again", output_of("import", folder / "a.tar", "--store", folder / "b")
    (store.root / "runs" / "nothing").mkdir()
    yield "clean", output_of("clean", *store_flag)


def collect(folder: Path) -> str:
    """Return all messages, each under its input, without paths and versions of this machine."""
    (folder / "y.tar").write_bytes(b"no archive")
    with (
        patch.object(machine, "usable_cores", lambda: 4),
        patch.object(machine, "gpus", lambda: ()),
        patch("slbench.cli.doctor.verify"),  # takes seconds
        patch.object(typer.main, "get_command", functools.cache(typer.main.get_command)),  # built once, not 120 times
        patch.dict(os.environ, {"SLBENCH_DATA": str(folder / "data"), "SLBENCH_STREAM": ""}),
        contextlib.chdir(folder),
    ):
        parts = [
            ("STUDIES", list(errors_of_studies())),
            ("DATA", list(errors_of_data(folder))),
            ("COMMANDS", list(errors_of_commands(folder))),
            ("STORES", list(errors_of_stores(folder))),
            ("ARCHIVES", list(errors_of_archives(folder))),
            ("REPORTS", list(reports(folder))),
        ]
    return "\n".join(
        f"{title}: {source!r}\n{normalized(text, folder)}" for title, messages in parts for source, text in messages
    )


def normalized(text: str, folder: Path) -> str:
    """Return a message without paths, disk sizes and texts of the TOML reader."""
    text = re.sub(r"(not valid TOML: )[^\n]*", r"\1...", text.replace(str(folder), "FOLDER"))
    return "".join(f"    {line.rstrip()}\n" for line in text.splitlines())


def test_messages_equal_the_golden_file(tmp_path: Path) -> None:
    assert collect(tmp_path).splitlines() == FILE.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        sys.stdout.write(collect(Path(directory)))
