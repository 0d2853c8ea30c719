"""Checkpoints and other files of runs, claims and measurements."""

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.hostile.case import Expected, Prepare, Table
from tests.hostile.records import FOLDER, RUN, changed_bytes, odd_files

PAUSED = "results/runs/vit-golden-both-fashion-mnist-12k-s7-14d9b7792036/checkpoint.pt"
WEIGHTED = "vit-both-fashion-mnist-12k-s1-9e8f5a072e42"
HERE = f"results/runs/{FOLDER}/"
MEASURED = "results/{}/m0d686824133/{}.json"
DAMAGE: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "NUL bytes": lambda content: bytes(len(content)),
    "garbage": lambda content: b"\xff\x00\xfe" * 50,
    "deep": lambda content: b"[" * 100_000,
    "no fields": lambda content: b"{}",
    "escape codes": lambda content: b'{"reason": "\x1b[31m"}',
}
FILES = {
    "spec.json": HERE + "spec.json",
    "metrics.csv": HERE + "metrics.csv",
    "test_logits.safetensors": HERE + "test_logits.safetensors",
    "log.txt": HERE + "log.txt",
    "failure.json": "results/runs/vit-golden-none-fashion-mnist-12k-s0-28690866a8c0/failure.json",
    "pruned.json": "results/runs/vit-both-fashion-mnist-12k-s0-833aa63d14b4/pruned.json",
    "temperatures.csv": "results/runs/vit-golden-both-fashion-mnist-12k-s0-dd91fc0df647/temperatures.csv",
    "throughput": MEASURED.format("throughput", "8f13fbdf0697"),
    "memory": MEASURED.format("memory", "029982112e56"),
    "probes": MEASURED.format("probes", "2f9792d126c1"),
}
RESUME = ("run-grid", "paused.toml", "--devices", "cpu", "--no-throughput")
PROVEN = ("spec.json", "metrics.csv")  # agree with the record of a finished run


class Evil:
    """Creates a file when unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch pwned",)


def checkpoint(change: Callable[[dict[str, Any]], Any]) -> Prepare:
    """Return a preparation of a correctly sealed checkpoint with changed content."""

    def apply(content: bytes) -> bytes:
        import torch

        from slbench.train.checkpoint import sealed

        state = torch.load(io.BytesIO(content.partition(b"\n")[2]), weights_only=True)
        state = change(state) or state
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return sealed(buffer.getvalue())

    return changed_bytes(PAUSED, apply)


def sealed_bytes(payload: bytes) -> Prepare:
    def apply(_: bytes) -> bytes:
        from slbench.train.checkpoint import sealed

        return sealed(payload)

    return changed_bytes(PAUSED, apply)


def weights(change: Callable[[dict[str, Any]], Any]) -> Prepare:
    return checkpoint(lambda state: change(state["training"]["network"]))


def training(**values: Any) -> Prepare:
    return checkpoint(lambda state: state["training"].update(values))


def nan_weights(network: dict[str, Any]) -> None:
    for tensor in network.values():
        tensor.fill_(float("nan"))


CHECKPOINTS: Mapping[str, Prepare] = {
    "of another run": checkpoint(lambda state: state.update(run_id="000000000000")),
    "without weights": checkpoint(lambda state: state["training"].pop("network") and None),
    "without an optimizer": checkpoint(lambda state: state["training"].pop("optimizer") and None),
    "without a start": checkpoint(lambda state: state.pop("start") and None),
    "a weight missing": weights(lambda network: network.pop("head.bias") is None),
    "an unknown weight": weights(lambda network: network.update(evil=network["head.bias"])),
    "a weight of another shape": weights(lambda network: network.update({"head.bias": network["norm.bias"]})),
    "a weight of another type": weights(lambda network: network.update({"head.bias": network["head.bias"].double()})),
    "a weight that is text": weights(lambda network: network.update({"head.bias": "x"})),
    "weights of nan": weights(nan_weights),
    "history of text": training(history="x"),
    "history of a future": training(history=[{"epoch": 99}]),
    "epoch as text": training(done="x"),
    "epoch -1": training(done=-1),
    "epoch 1e9": training(done=10**9),
    "optimizer of text": training(optimizer="x"),
    "optimizer without groups": training(optimizer={"state": {}, "param_groups": []}),
    "temperatures of text": training(temperatures="x"),
    "a list": checkpoint(lambda state: [1, 2]),
    "a number": checkpoint(lambda state: 7),
    "a pickle that runs code": checkpoint(lambda state: {"x": Evil()}),
    "sealed garbage": sealed_bytes(b"garbage"),
    "sealed nothing": sealed_bytes(b""),
    "sealed zip": sealed_bytes(b"PK\x03\x04" + bytes(100)),
    "garbage": changed_bytes(PAUSED, lambda content: b"garbage"),
    "empty": changed_bytes(PAUSED, lambda content: b""),
    "cut": changed_bytes(PAUSED, lambda content: content[:1000]),
    "a flipped bit": changed_bytes(
        PAUSED, lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]
    ),
    **odd_files(PAUSED),
}


def checkpoints() -> Table:
    """Checkpoints that do not fit: the run starts again, says so once, and finishes."""
    table = Table("checkpoints", store=True, logs="results/runs/*-14d9b7792036/log.txt", seconds=180)
    for name, prepare in CHECKPOINTS.items():
        words = () if name in ("a broken link",) else ("checkpoint.pt",)
        table.add(name, RESUME, Expected.SAID, prepare, words=words)
    return table


def run_files() -> Table:
    """Files of a store, damaged in place: named where a finished run needs them, never a traceback."""
    table = Table("files of runs", store=True)
    report = ("report", "--format", "csv", "--figures", "none")
    for name, path in FILES.items():
        damages = {kind: changed_bytes(path, change) for kind, change in DAMAGE.items()} | dict(odd_files(path))
        for kind, prepare in damages.items():
            proven = name in PROVEN
            study = ("golden.toml",) if proven else ()
            expected = Expected.NAMED if proven else Expected.HANDLED
            table.add(f"status: {name}: {kind}", ("status", *study), expected, prepare, words=(RUN,) if proven else ())
            table.add(f"report: {name}: {kind}", report, Expected.SAID if proven else Expected.HANDLED, prepare,
                      words=(RUN,) if proven else ())  # fmt: skip
    for kind, prepare in (
        *((kind, changed_bytes(FILES["temperatures.csv"], change)) for kind, change in DAMAGE.items()),
        *odd_files(FILES["temperatures.csv"]).items(),
    ):
        table.add(f"analyze temperature: {kind}", ("analyze", "temperature", "dd91"), Expected.REFUSED, prepare)
    for kind, prepare in (
        *(
            (kind, changed_bytes(f"results/runs/{WEIGHTED}/weights.safetensors", change))
            for kind, change in DAMAGE.items()
        ),
        *odd_files(f"results/runs/{WEIGHTED}/weights.safetensors").items(),
    ):
        table.add(f"analyze sharpness: {kind}", ("analyze", "sharpness", "9e8f"), Expected.REFUSED, prepare)
        table.add(f"export: weights: {kind}", ("export", "--all", "x.tar"), Expected.HANDLED, prepare)
    for kind, prepare in (
        *((kind, changed_bytes(FILES["log.txt"], change)) for kind, change in DAMAGE.items()),
        *odd_files(FILES["log.txt"]).items(),
    ):
        table.add(f"logs: {kind}", ("logs", RUN), Expected.HANDLED, prepare)
    return table


def claim(name: str, make: Callable[[Path], Any]) -> Prepare:
    def write(folder: Path) -> None:
        path = folder / "results/claims" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)

    return write


CLAIMS: Mapping[str, Prepare] = {
    "garbage": claim(f"{RUN}/1.json", lambda path: path.write_bytes(b"\xff\x00")),
    "empty": claim(f"{RUN}/1.json", lambda path: path.write_bytes(b"")),
    "deep": claim(f"{RUN}/1.json", lambda path: path.write_bytes(b"[" * 100_000)),
    "number of 5,000 digits": claim(f"{RUN}/{'9' * 200}.json", lambda path: path.write_bytes(b"{}")),
    "pid -1": claim(f"{RUN}/1.json", lambda path: path.write_text(
        '{"token": "x", "hostname": "h", "boot": "b", "processes": [[-1, "1"]], "device": ""}')),
    "pid of 30 digits": claim(f"{RUN}/1.json", lambda path: path.write_text(
        '{"token": "x", "hostname": "h", "boot": "b", "processes": [[' + "9" * 30 + ', "1"]], "device": ""}')),
    "escape codes": claim(f"{RUN}/1.json", lambda path: path.write_text(
        '{"token": "x", "hostname": "\\u001b[31mh", "boot": "b", "processes": [], "device": "\\u001b[31m"}')),
    "a link": claim(f"{RUN}/1.json", lambda path: path.symlink_to("../../../golden.toml")),
    "a folder": claim(f"{RUN}/1.json/x", lambda path: path.mkdir()),
    "a FIFO": claim(f"{RUN}/1.json", os.mkfifo),
    "progress of garbage": claim("14d9b7792036/progress.json", lambda path: path.write_bytes(b"\xff")),
    "progress a FIFO": claim("14d9b7792036/progress.json", os.mkfifo),
    "folder that is a file": claim(RUN, lambda path: path.write_bytes(b"x")),
    "folder that is a FIFO": claim(RUN, os.mkfifo),
    "folder that is a link": claim(RUN, lambda path: path.symlink_to("../runs")),
}  # fmt: skip


def in_place(name: str, make: Callable[[Path], object]) -> Prepare:
    """Return a preparation that makes something in place of a folder of the store, or beside its files."""

    def write(folder: Path) -> None:
        path = folder / "results" / name
        if path.is_dir():
            path.rename(folder / "results/old")
        make(path)

    return write


ODD_STORES: Mapping[str, Prepare] = {
    "runs is a file": in_place("runs", lambda path: path.write_bytes(b"x")),
    "runs links to itself": in_place("runs", lambda path: path.symlink_to("runs")),
    "runs links to /": in_place("runs", lambda path: path.symlink_to("/")),
    "a run links to itself": in_place("runs/x-7ac8acdb98d2", lambda path: path.symlink_to("x-7ac8acdb98d2")),
    "a run is a FIFO": in_place("runs/x-7ac8acdb98d2", os.mkfifo),
    "a run in two folders": in_place(f"runs/x-{RUN}", Path.mkdir),
    "folder of line breaks": in_place("runs/a\nb\x1b[31m-7ac8acdb98d2", Path.mkdir),
    "claims is a file": in_place("claims", lambda path: path.write_bytes(b"x")),
    "tuning is a FIFO": in_place("tuning", os.mkfifo),
    "throughput is a file": in_place("throughput", lambda path: path.write_bytes(b"x")),
}


def claims() -> Table:
    table = Table("claims and odd stores", store=True)
    for name, prepare in CLAIMS.items():
        for command in (("status",), ("clean", "--yes"), ("run-grid", "golden.toml", "--plan", "--devices", "cpu")):
            table.add(f"{command[0]}: claim: {name}", command, Expected.HANDLED, prepare)
    for name, change in ODD_STORES.items():
        for command in (("status",), ("report", "--format", "csv", "--figures", "none"), ("clean",), ("doctor",)):
            table.add(f"{command[0]}: {name}", command, Expected.HANDLED, change)
    return table
