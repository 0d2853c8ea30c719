"""Journals and search files of `tune-temperature`."""

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from tests.hostile.case import Expected, Prepare, Table, file
from tests.hostile.options import SHORT_SEARCH
from tests.hostile.process import GOLDEN
from tests.hostile.records import changed_bytes, odd_files

FOLDER = "results/tuning/golden"
JOURNAL, SEARCH, TRIALS = (f"{FOLDER}/{name}" for name in ("journal.log", "search.json", "trials.csv"))
COMMAND = tuple(shlex.split(json.loads((GOLDEN / "store/tuning/golden/search.json").read_bytes())["command"])[1:])
Lines = list[dict[str, Any]]


def lines(change: Callable[[Lines], Any]) -> Prepare:
    """Return a preparation that changes the operations of the journal."""

    def apply(content: bytes) -> bytes:
        operations = [json.loads(line) for line in content.splitlines()]
        change(operations)
        return "".join(f"{json.dumps(operation)}\n" for operation in operations).encode()

    return changed_bytes(JOURNAL, apply)


def ends(operations: Lines) -> Lines:
    """Return the operations that end a trial with a value."""
    return [operation for operation in operations if operation["op_code"] == 6 and operation.get("values")]


def of_kind(operations: Lines, kind: int) -> Lines:
    return [operation for operation in operations if operation["op_code"] == kind]


def values(value: Any) -> Callable[[Lines], Any]:
    return lambda operations: ends(operations)[1].update(values=[value])


def append(operation: dict[str, Any]) -> Callable[[Lines], Any]:
    return lambda operations: operations.append({"worker_id": "x", **operation})


JOURNALS: Mapping[str, Prepare] = {  # each must be named
    "value 99": lines(values(99.0)),
    "value 45.1 of 45.0": lines(values(45.1)),
    "value 101": lines(values(101.0)),
    "value -5": lines(values(-5.0)),
    "value nan": lines(values(float("nan"))),
    "value inf": lines(values(float("inf"))),
    "value of text": lines(values("99")),
    "value null": lines(values(None)),
    "two values": lines(lambda operations: ends(operations)[1].update(values=[99.0, 1.0])),
    "epoch's value 99": lines(lambda operations: [each.update(intermediate_value=99.0) for each in of_kind(operations,
    7)[4:8]]),
    "epoch -1": lines(lambda operations: of_kind(operations, 7)[0].update(step=-1)),
    "value of the next trial": lines(
        lambda operations: ends(operations)[1].update(values=ends(operations)[2]["values"]),
    ),
    "runs of another trial": lines(
        lambda operations: [
            each.update(user_attr={"runs": ["cc103bfa4139"]}) for each in of_kind(operations,
            8) if "runs" in each["user_attr"]
        ]
    ),
    "runs that do not exist": lines(
        lambda operations: [
            each.update(user_attr={"runs": ["000000000000"]}) for each in of_kind(operations,
            8) if "runs" in each["user_attr"]
        ]
    ),
    "runs outside": lines(
        lambda operations: [
            each.update(user_attr={"runs": ["../../x"]}) for each in of_kind(operations,
            8) if "runs" in each["user_attr"]
        ]
    ),
    "setting of another value": lines(
        lambda operations: [
            each.update(user_attr={"setting": {"method.initial_temperature": 0.5}})
            for each in of_kind(operations, 8)
            if "setting" in each["user_attr"]
        ][:2]
    ),
    "parameter outside the range": lines(lambda operations: of_kind(operations,
    5)[1].update(param_value_internal=50.0)),
    "parameter nan": lines(lambda operations: of_kind(operations, 5)[1].update(param_value_internal=float("nan"))),
    "unknown parameter": lines(lambda operations: of_kind(operations, 5)[1].update(param_name="method.evil")),
    "distribution of garbage": lines(lambda operations: of_kind(operations, 5)[1].update(distribution="{}")),
    "unknown operation": lines(append({"op_code": 99})),
    "operation of text": lines(append({"op_code": "x"})),
    "operation without a code": lines(append({"study_id": 0})),
    "operation on trial 99": lines(append({"op_code": 6, "trial_id": 99, "state": 1, "values": [99.0],
    "datetime_complete": None})),
    "operation on study 9": lines(append({"op_code": 2, "study_id": 9, "user_attr": {"owner": None}})),
    "study deleted": lines(append({"op_code": 1, "study_id": 0})),
    "trial ended twice": lines(lambda operations: operations.append({**ends(operations)[1], "values": [99.0]})),
    "state 99": lines(lambda operations: ends(operations)[1].update(state=99)),
    "direction minimize": lines(lambda operations: operations[0].update(directions=[1])),
    "definition removed": lines(lambda operations: operations.pop(1)),
    "definition of another recipe": lines(
        lambda operations: operations[1]["user_attr"]["slbench"]["run"]["recipe"].update(epochs=5)
    ),
    "cut in half": changed_bytes(JOURNAL, lambda content: content[: len(content) // 2]),
    "empty": changed_bytes(JOURNAL, lambda content: b""),
    "garbage": changed_bytes(JOURNAL, lambda content: b"\xff\x00\xfe\n" * 50),
    "garbage in the middle": changed_bytes(JOURNAL, lambda content: content.replace(b'{"op_code":7', b"\xff\xfe", 3)),
    "list in place of an operation": changed_bytes(JOURNAL, lambda content: content + b"[1]\n"),
    "deep brackets": changed_bytes(JOURNAL, lambda content: content + b"[" * 100_000 + b"\n"),
    "number of 5,000 digits": changed_bytes(JOURNAL, lambda content: content + b"9" * 5_000 + b"\n"),
    "lines of another order": changed_bytes(JOURNAL, lambda content: b"\n".join(content.splitlines()[::-1]) + b"\n"),
    **odd_files(JOURNAL),
}  # fmt: skip
WITHOUT_WORDS = ("empty", "study deleted", "a broken link", "epoch's value 99", "epoch -1")
RESULTS: Mapping[str, Prepare] = {  # search.json and trials.csv for `report`
    **{f"search.json: {name}": changed_bytes(SEARCH, change) for name, change in {
        "empty": lambda content: b"",
        "cut": lambda content: content[:500],
        "garbage": lambda content: b"\xff\x00",
        "deep": lambda content: b"[" * 100_000,
        "value nan": lambda content: content.replace(b'"value": 45.0', b'"value": NaN'),
        "value inf": lambda content: content.replace(b'"value": 45.0', b'"value": Infinity'),
        "winner 99": lambda content: content.replace(b'"winner": ', b'"winner": 9'),
        "escape codes": lambda content: content.replace(b'"title": "SL-ViT"', b'"title": "\\u001b[31mx"'),
    }.items()},
    **{f"search.json: {name}": prepare for name, prepare in odd_files(SEARCH).items()},
    **{f"trials.csv: {name}": prepare for name, prepare in odd_files(TRIALS).items()},
}  # fmt: skip
BAD_SEARCHES: Mapping[str, str | bytes] = {
    "empty": "",
    "garbage": b"\xff\x00",
    "NUL": b"\x00" * 100,
    "5,000 nested brackets": "x = " + "[" * 5_000 + "]" * 5_000,
    "dotted key of 3,001 parts": ".".join(["a"] * 3_001) + " = 1",
    "integer of 5,000 digits": "[method.initial_temperature]\nlow = " + "9" * 5_000,
    "value": "x = 1",
    "unknown parameter": "[method.temprature]\nlow = 1\nhigh = 2",
    "unknown key": "[method.initial_temperature]\nlow = 1\nhihg = 2",
    "no bounds": "[method.initial_temperature]\n",
    "low only": "[method.initial_temperature]\nlow = 1",
    "low above high": "[method.initial_temperature]\nlow = 2\nhigh = 1",
    "low 0 on a logarithmic scale": "[method.initial_temperature]\nlow = 0\nhigh = 2\nlog = true",
    "low nan": "[method.initial_temperature]\nlow = nan\nhigh = 2.0",
    "high inf": "[method.initial_temperature]\nlow = 0.5\nhigh = inf",
    "high nan": "[method.initial_temperature]\nlow = 0.5\nhigh = nan",
    "low of text": "[method.initial_temperature]\nlow = '1'\nhigh = 2",
    "low below the field": "[method.initial_temperature]\nlow = -1\nhigh = 2",
    "no choices": "[method.shift]\nchoices = []",
    "one choice": "[method.shift]\nchoices = ['diagonal']",
    "unknown choice": "[method.shift]\nchoices = ['diagonal', 'up']",
    "choices of a list": "[method.shift]\nchoices = [['diagonal'], ['cardinal']]",
    "choices and bounds": "[method.shift_pixels]\nchoices = [1, 2]\nlow = 1\nhigh = 2",
    "range of text": "[method.shift]\nlow = 1\nhigh = 2",
    "fractions of pixels": "[method.shift_pixels]\nlow = 0.5\nhigh = 2.5",
    "pixels to 1e12": "[method.shift_pixels]\nlow = 1\nhigh = 1000000000000",
    "grid outside": "[method.initial_temperature]\nlow = 0.5\nhigh = 2.0\ngrid = [9.0]",
    "grid nan": "[method.initial_temperature]\nlow = 0.5\nhigh = 2.0\ngrid = [nan]",
    "defaults of text": "defaults = 'no'\n[method.initial_temperature]\nlow = 0.5\nhigh = 2.0",
    "start excluded": "[method.initial_temperature]\nlow = 0.1\nhigh = 0.5",
    "seed searched": "[seed]\nlow = 0\nhigh = 5",
    "epochs searched to 1e12": "['recipe.epochs']\nlow = 1\nhigh = 1000000000000",
    "depth searched to 1e9": "['backbone.depth']\nlow = 1\nhigh = 1000000000",
    "prototype key": "['method.__class__']\nlow = 1\nhigh = 2",
}


def journals() -> Table:
    """Journals of a complete search: what contradicts the records of the runs is named, and never wins."""
    table = Table("journals and searches", store=True)
    for name, prepare in JOURNALS.items():
        words = () if name in WITHOUT_WORDS else ("journal",)
        table.add(name, COMMAND, Expected.HANDLED, prepare, words=words, never=("99.00", "99.0 "))
    for name, prepare in RESULTS.items():
        table.add(f"report: {name}", ("report", FOLDER), Expected.HANDLED, prepare)
    return table


def search_files() -> Table:
    table = Table("search files")
    for name, content in BAD_SEARCHES.items():
        table.add(name, (*SHORT_SEARCH, "--search", "x.toml"), Expected.REFUSED, file("x.toml", content))
    return table
