"""Small studies and invented records for tests of several modules."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from slbench.history import EpochMetrics, write_history
from slbench.machine import Code, Host
from slbench.measurement_records import Throughput
from slbench.record import DivergedRecord, RunRecord
from slbench.report.inputs import ReportInputs
from slbench.store import Store
from slbench.study import Flags, Study, StudyRun, make_study

ROOT = Path(__file__).parent.parent
# A network that trains in a second: 4 patches of 16 px, 17 steps of 512 images.
TINY = {"name": "vit", "label": "Tiny", "patch_size": 16, "dim": 8, "depth": 1, "num_heads": 1}
TINY_STUDY = """
[grid]
backbone = [{ name = "vit", label = "Tiny", patch_size = 16, dim = 8, depth = 1, num_heads = 1 }]
method = ["none", "lsa"]
[set]
recipe.epochs = 1
recipe.batch_size = 512
recipe.precision = "fp32"
"""
HOST = Host(
    machine_id="00machine00",
    hostname="host-7",
    platform="Linux",
    cpu="Processor",
    cores=2,
    memory_bytes=2**33,
    accelerators=(),
)
CODE = Code(python="3.11.7", versions={"slbench": "0.1.0", "torch": "2.9.1"}, commit="c0ffee" + "0" * 34, dirty=False)


def start_slbench(
    *arguments: object, cwd: Path = ROOT, stdout: int | IO[Any] = subprocess.PIPE, stderr: int = subprocess.PIPE,
    new_session: bool = False, environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:  # fmt: skip
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "slbench", *map(str, arguments)], cwd=cwd, stdout=stdout, stderr=stderr, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}, start_new_session=new_session,
    )  # fmt: skip


def study(content: dict[str, Any], **flags: Any) -> Study:
    """Return the study of a file's content and command-line flags."""
    return make_study(content, name="test", where="test.toml", flags=Flags(**flags))


def runs(grid: dict[str, Any] | None = None, **content: Any) -> tuple[StudyRun, ...]:
    """Return the runs of a study of the tiny network, by default with method "none"."""
    return study({"grid": {"backbone": [TINY], "method": ["none"], **(grid or {})}, **content}).runs


def make_record(run: StudyRun, **changes: Any) -> RunRecord:
    """Return an invented record of a finished run, by default with 80 % final test accuracy."""
    recipe, selects = run.spec.recipe, run.spec.protocol == "holdout"
    content: dict[str, Any] = {
        "run_id": run.spec.run_id,
        "spec": run.spec,
        "labels": run.labels,
        "final_test_top1": 80.0,
        "final_test_loss": 0.625,
        "final_val_top1": 79.5 if selects else None,
        "selected_test_top1": 81.0 if selects else None,
        "selected_epoch": (5 if recipe.epochs > 5 else max(1, recipe.epochs - 2)) if selects else None,
        "best_test_epoch": 4 if recipe.epochs > 4 else max(1, recipe.epochs - 1),
        "final_train_loss": 0.75,
        "scales_below_zero": 0,
        "history": "metrics.csv",
        "steps": recipe.epochs * run.spec.steps_per_epoch,
        "samples_seen": recipe.epochs * run.spec.samples_per_epoch,
        "macs": 11_232,
        "norm_operations": 440,
        "uncounted_operators": {"add": 3, "softmax": 1},
        "params": 2_786,
        "train_images_per_second": 1234.5,
        "peak_memory_bytes": 2**29,
        "seconds": 7.25,
        "started_at": "2025-11-22T23:12:54+00:00",
        "device": "cpu",
        "device_name": "Processor",
        "threads": 1,
        "precision": "fp32",
        "host": HOST,
        "code": CODE,
        "data_sha256": "da7a" + "0" * 60,
        "weights_sha256": "abc" + "0" * 61,
    }
    content |= changes
    tested = [content[name] or 0.0 for name in ("final_test_top1", "selected_test_top1")]
    if "best_test_top1" in changes:  # of an invented record, whose other accuracies are then no higher
        names = [name for name in ("final_test_top1", "selected_test_top1") if content[name] and name not in changes]
        content |= {name: min(content[name], changes["best_test_top1"]) for name in names}
    return RunRecord(**{"best_test_top1": max(82.0, *tested), "final_test_top5": max(97.5, tested[0]), **content})


def store_history(folder: Path, record: RunRecord) -> None:
    """Write a metrics.csv that agrees with an invented record whose best, selected and last epoch differ."""
    epochs, chosen = record.spec.recipe.epochs, {record.best_test_epoch: record.best_test_top1}
    if record.selected_epoch is not None and record.selected_test_top1 is not None:
        chosen[record.selected_epoch] = record.selected_test_top1
    chosen[epochs] = record.final_test_top1
    validates = record.final_val_top1 is not None
    history = [
        EpochMetrics(
            epoch=epoch,
            lr=0.1,
            train_loss=record.final_train_loss,
            val_loss=1.0 if validates else None,
            val_top1=None
            if not validates
            else 90.0
            if epoch == record.selected_epoch != epochs
            else record.final_val_top1,
            test_loss=record.final_test_loss,
            test_top1=chosen.get(epoch, 10.0),
            test_top5=record.final_test_top5,
            scales_below_zero=record.scales_below_zero,
            train_seconds=1.0,
        )
        for epoch in range(1, epochs + 1)
    ]
    write_history(folder / record.history, history)


def make_diverged(run: StudyRun, **changes: Any) -> DivergedRecord:
    """Return an invented outcome of a run that diverged in its first epoch."""
    record = make_record(run)
    shared = {name: getattr(record, name) for name in DivergedRecord.model_fields if hasattr(record, name)}
    measured = [name for name, field in DivergedRecord.model_fields.items() if field.default is None]
    content = {**shared, **dict.fromkeys(measured), "reason": "the loss is nan in step 3 of epoch 1", "epoch": 1}
    return DivergedRecord(**(content | {"steps": 3} | changes))


def store_record(store: Store, run: StudyRun, **changes: Any) -> RunRecord:
    """Write an invented record of a finished run into a store."""
    record = make_record(run, **changes)
    store.finish(store.begin(run.spec, run.labels), record)
    return record


def train_here(run: StudyRun, store: Store, **how: Any) -> RunRecord:
    """Train a run in this process, by default on one CPU thread."""
    import torch

    from slbench.train.run import execute

    store.begin(run.spec, run.labels)
    settings: dict[str, Any] = {"precision": "fp32", "threads": 1, **how}
    return execute(
        run.spec, run.labels, store=store, device=torch.device("cpu"), device_label="cpu",
        device_name="a processor", **settings,
    )  # fmt: skip


def report_inputs(
    runs_: tuple[StudyRun, ...], records: Sequence[RunRecord] | None = None, **changes: Any
) -> ReportInputs:
    """Return report inputs of runs; all are finished unless `records` are given."""
    finished = tuple(make_record(run) for run in runs_) if records is None else tuple(records)
    return ReportInputs(**{"name": "study", "title": "Title", "runs": runs_, "records": finished, **changes})


def make_speed(key: str = "key", median: float = 1000.0, **changes: Any) -> Throughput:
    """Return an invented throughput measurement."""
    content: dict[str, Any] = {
        "key": key,
        "machine_id": HOST.machine_id,
        "device": "cpu",
        "device_name": "Processor",
        "threads": 1,
        "precision": "fp32",
        "batch_size": 128,
        "timing": "short",
        "median": median,
        "q1": 0.99 * median,
        "q3": 1.01 * median,
        "n": 9,
        "measured_at": "2025-11-22T23:12:54+00:00",
    }
    return Throughput(**(content | changes))


def missing(text: str, *parts: object) -> list[str]:
    """Return the parts that a message does not contain as whole words, in any order."""
    return [str(part) for part in parts if not re.search(_whole(part), text)]


def naming(*parts: object) -> str:
    """Return a pattern for `pytest.raises(match=...)` of messages with all parts, in any order."""
    return r"(?s)\A" + "".join(f"(?=.*{_whole(part)})" for part in parts)


def _whole(part: object) -> str:
    """Return a pattern of a whole word or number: `lr` is not in `lrr`, nor 1 in 1.5 or 11."""
    text = str(part)
    before = r"(?<!\d[.,])" if text[:1].isdigit() else ""
    after = r"(?![.,]\d)" if text[-1:].isdigit() else ""
    return rf"(?<!\w){before}{re.escape(text)}{after}" + (r"(?!\w)" if re.search(r"\w$", text) else "")
