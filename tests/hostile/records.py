"""Damaged and impossible records, in a store and in an archive."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.hostile.case import Expected, Prepare, Table
from tests.hostile.studies import fifo, link

RUN, STUDY = "7ac8acdb98d1", "golden.toml"
FOLDER = f"vit-golden-none-fashion-mnist-12k-s0-{RUN}"
RECORD = f"results/runs/{FOLDER}/record.json"
Change = Callable[[dict[str, Any]], Any]


def setting(path: str, value: Any) -> Change:
    """Return a change that sets a field by dotted path."""

    def change(record: dict[str, Any]) -> None:
        *heads, last = path.split(".")
        for head in heads:
            record = record[head]
        record[last] = value

    return change


NAN, INF = float("nan"), float("inf")
IMPOSSIBLE: Mapping[str, Change] = {
    f"{path} = {str(value)[:20]}": setting(path, value)
    for path, value in (
        *(
            ("final_test_top1", value)
            for value in (NAN, INF, -INF, 101.0, -5.0, "99", 99.9, 24.7, None, True, [24.6], 10**400)
        ),
        *(("final_test_top5", value) for value in (NAN, 100.5, 1.0)),
        *(("final_test_loss", value) for value in (NAN, INF, -1.0, 0.5)),
        *(("final_val_top1", value) for value in (NAN, 101.0, None)),
        *(("final_train_loss", value) for value in (NAN, -INF)),
        *(("selected_test_top1", value) for value in (101.0, None)),
        *(("selected_epoch", value) for value in (0, -1, 99, 1)),
        *(("best_test_top1", value) for value in (NAN, 20.0, 101.0)),
        *(("best_test_epoch", value) for value in (0, 99)),
        *(("steps", value) for value in (-1, 0, 17, 10**30, "18", 1.5)),
        *(("samples_seen", value) for value in (-1, 0)),
        *(("macs", value) for value in (-5, 10**40)),
        *(("params", value) for value in (-1, 0)),
        *(("train_images_per_second", value) for value in (NAN, INF, -1.0)),
        *(("peak_memory_bytes", value) for value in (-1,)),
        *(("seconds", value) for value in (NAN, INF, -1.0)),
        *(("scales_below_zero", value) for value in (-1,)),
        *(("threads", value) for value in (0, -1)),
        *(("precision", value) for value in ("int8", "")),
        *(("history", value) for value in ("../../../etc/passwd", "/etc/passwd", "", "none.csv")),
        *(("weights_sha256", value) for value in ("", "zz", "A" * 64)),
        *(("data_sha256", value) for value in ("", "zz")),
        *(("run_id", value) for value in ("000000000000", "", "../x", 5)),
        *(("spec.seed", value) for value in (1, -1, "0")),
        *(("spec.recipe.lr", value) for value in (0.004, NAN, 0)),
        *(("spec.recipe.epochs", value) for value in (0, 10**30)),
        *(("spec.backbone.depth", value) for value in (0, 10**9)),
        *(("spec.backbone.name", value) for value in ("nope", "pit", None)),
        *(("spec.schema", value) for value in (1, 3, "2", None)),
        *(("spec.dataset.num_classes", value) for value in (0, 10**12)),
        ("spec", {}),
        ("labels", {}),
        ("host", None),
        ("code.versions", []),
        ("unknown_field", 1),
        ("uncounted_operators", {"add": -1}),
    )
}
ODD_TEXT: Mapping[str, Change] = {  # allowed, but must not reach a terminal or a page as it is
    "label with escape codes": setting("labels.backbone", "\x1b[2J\x1b]0;title\x07x"),
    "label with C1 codes": setting("labels.method", "\x9b31mnone"),
    "label with line breaks": setting("labels.backbone", "a\nb\r\nc"),
    "label with markup": setting("labels.backbone", "<script>alert(1)</script>|`x`![a](javascript:b)"),
    "label with TeX": setting("labels.backbone", "\\input{/etc/passwd}[1in]%$&_{}"),
    "label like a formula": setting("labels.backbone", "=cmd|' /C calc'!A0"),
    "empty label": setting("labels.backbone", ""),
    "label of a million characters": setting("labels.backbone", "x" * 1_000_000),
    "label with a surrogate": setting("labels.backbone", "\ud800"),
    "date with escape codes": setting("started_at", "\x1b[31m2025"),
    "date that is none": setting("started_at", "yesterday"),
    "device with escape codes": setting("device_name", "\x1b[31mcpu"),
    "commit with markup": setting("code.commit", "<b>`x`"),
    "host with markup": setting("host.hostname", "<img src=x onerror=alert(1)>"),
}
DAMAGE: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "cut by a byte": lambda content: content[:-2],
    "NUL bytes": lambda content: bytes(len(content)),
    "garbage": lambda content: b"\xff\x00\xfe" * 50,
    "list": lambda content: b"[1, 2]",
    "null": lambda content: b"null",
    "no fields": lambda content: b"{}",
    "deep": lambda content: b"[" * 100_000,
    "number of 5,000 digits": lambda content: content.replace(b'"steps": 18', b'"steps": ' + b"9" * 5_000),
    "byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "twice": lambda content: content * 2,
}


def changed_record(change: Change, path: str = RECORD) -> Prepare:
    def write(folder: Path) -> None:
        record = json.loads((folder / path).read_bytes())
        change(record)
        (folder / path).write_text(json.dumps(record))

    return write


def changed_bytes(path: str, change: Callable[[bytes], bytes]) -> Prepare:
    return lambda folder: (folder / path).write_bytes(change((folder / path).read_bytes()))


def in_place_of(path: str, make: Prepare) -> Prepare:
    """Return a preparation that removes a file and makes something else in its place."""

    def replace(folder: Path) -> None:
        (folder / path).unlink()
        make(folder)

    return replace


def odd_files(path: str) -> Mapping[str, Prepare]:
    """Return what may lie in place of a file."""
    return {
        "a folder": in_place_of(path, lambda folder: (folder / path / "x").mkdir(parents=True)),
        "a FIFO": in_place_of(path, fifo(path)),
        "a link to itself": in_place_of(path, link(path, Path(path).name)),
        "a link to /dev/zero": in_place_of(path, link(path, "/dev/zero")),
        "a broken link": in_place_of(path, link(path, "none")),
    }


def records() -> Table:
    """Records of a store: `status` exits with 1 and `report` names the run, which enters no mean."""
    table = Table("records in a store", store=True)
    report = ("report", STUDY, "--format", "csv", "--figures", "none")
    damages = {
        **{name: changed_bytes(RECORD, damage) for name, damage in DAMAGE.items()},
        **odd_files(RECORD),
        **{name: changed_record(change) for name, change in IMPOSSIBLE.items()},
    }
    for name, prepare in damages.items():
        table.add(f"status: {name}", ("status", STUDY), Expected.NAMED, prepare, words=(RUN,))
        if name == "byte order mark":
            continue
        table.add(f"report: {name}", report, Expected.SAID, prepare, words=(RUN,))
    for name, change in ODD_TEXT.items():
        for command in (
            ("status",),
            ("report", "--figures", "none"),
            ("report", "--format", "html", "--figures", "none"),
        ):
            table.add(f"{' '.join(command)}: {name}", command, Expected.HANDLED, changed_record(change))
    table.add("all records damaged", ("report", STUDY), Expected.REFUSED, all_damaged)
    table.add("export of a damaged record", ("export", "--all", "x.tar"), Expected.REFUSED, damages["cut"])
    table.add(
        "export of an impossible record",
        ("export", "--all", "x.tar"),
        Expected.REFUSED,
        damages["final_test_top1 = nan"],
    )
    table.add("plan with a damaged record", ("run-grid", STUDY, "--plan"), Expected.HANDLED, damages["cut"])
    return table


def all_damaged(folder: Path) -> None:
    for path in folder.glob("results/runs/*/record.json"):
        path.write_bytes(b"{}")
