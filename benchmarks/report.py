"""Time of `slbench report` on stores of 1,000 and 10,000 runs, start-up included.

The stores are generated: records of five backbones, four methods, five data sets and ten seeds, and for the larger
one of ten learning rates. Run by `make bench-report`.
"""

import argparse
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from slbench.files import dump_json
from slbench.store import Store
from slbench.study import load_study
from tests.support import make_record, store_history

STUDY = """
title = "A generated grid"
[grid]
backbone = ["vit", "t2t", "cait", "pit", "swin"]
method = ["none", "spt", "lsa", "both"]
dataset = ["cifar10", "cifar100", "svhn", "tiny-imagenet", "fashion-mnist"]
seed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
"""
RATES = '"recipe.lr" = [0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008, 0.009, 0.01]\n'
AIMS = {1_000: 3.0, 10_000: 20.0}  # seconds
FORMATS = ("md", "md,csv,latex", "html")
EPOCHS = 20  # of a generated run


def generate(folder: Path, *, large: bool) -> int:
    """Write a study and a store of its runs; return their number."""
    study = folder / "study.toml"
    study.write_text(STUDY + (RATES if large else "") + f"[set]\nrecipe.epochs = {EPOCHS}\n")
    store, chance, levels = Store(folder / "results"), random.Random(0), dict[object, float]()
    runs = load_study(study).runs
    for run in runs:
        labels = run.labels
        level = levels.setdefault((labels.backbone, labels.dataset), chance.uniform(50, 90))
        own = levels.setdefault((labels.backbone, labels.method, labels.dataset), chance.gauss(0, 1))
        top1 = level + own + chance.gauss(0, 0.3)
        path = store.folder(run.spec, labels)
        path.mkdir(parents=True)
        record = make_record(run, final_test_top1=top1, best_test_top1=top1 + 0.2)
        (path / "record.json").write_bytes(dump_json(record.model_dump(mode="json")))
        store_history(path, record)
    return len(runs)


def seconds(folder: Path, formats: str, *, with_study: bool) -> float:
    """Return the seconds of a whole process: start-up, reading, tables, files."""
    study = [str(folder / "study.toml")] if with_study else []
    command = [
        sys.executable,
        "-m",
        "slbench",
        "report",
        *study,
        "--store",
        str(folder / "results"),
        "--format",
        formats,
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, n = {rounds}")
    for large in (False, True):
        with tempfile.TemporaryDirectory() as name:
            count = generate(Path(name), large=large)
            for formats in FORMATS:
                for with_study in (True, False):
                    took = [seconds(Path(name), formats, with_study=with_study) for _ in range(rounds)]
                    what = "a study" if with_study else "the whole store"
                    print(
                        f"{count:>6,} runs, {what}, {formats}: {median(took):.2f} s ({min(took):.2f} to "
                        f"{max(took):.2f}); aim {AIMS[count]:g} s"
                    )


if __name__ == "__main__":
    main()
