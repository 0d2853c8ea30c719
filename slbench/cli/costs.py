"""The costs of networks as a table or CSV, and why they differ from the paper's."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from slbench.backbones import backbone_entry
from slbench.cli.terminal import Terminal
from slbench.measure.throughput_keys import Mode
from slbench.methods import model_title
from slbench.text import mebibytes, plural

MODES: tuple[Mode, ...] = ("inference", "train")


def as_csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as CSV with nested values flattened."""
    text = io.StringIO()
    flat = []
    for row in rows:
        line: dict[str, Any] = {}
        for key, value in row.items():
            if key == "uncounted_operators":
                line[key] = " ".join(value)
            elif isinstance(value, dict):
                line |= {f"{key}_{name}": number for name, number in value.items()}
            else:
                line[key] = value
        flat.append(line)
    writer = csv.DictWriter(text, flat[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def show(rows: Sequence[dict[str, Any]], notes: Sequence[str]) -> None:
    """Print the table, and why it differs from the paper's."""
    first = rows[0]
    title = f"{first['image_size']} px, {plural(first['in_channels'], 'channel')}, {first['num_classes']} classes"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("\nmodel")
    heads = ["MACs\n(M)", "paper's\nFLOPs (M)", "\ndifference", "\nparams", "paper's\n(M)"]
    heads += [f"{'training' if mode == 'train' else mode}\nimages/s" for mode in speeds_of(first)]
    heads += ["training\nmemory (MiB)"] if "training_memory_bytes" in first else []
    for head in heads:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*cells(row))
    Terminal(highlight=False, width=200).print(table)  # fixed width: a truncated number is a wrong number
    console = Terminal(highlight=False)
    console.print(
        "MACs: multiply-adds of matrix products and convolutions for one image, counted with fvcore.", soft_wrap=True
    )
    if "training_memory_bytes" in first:
        memory = first["training_memory_bytes"]
        idle = f", {mebibytes(memory['idle'])} of them before the network is built" if memory["idle"] else ""
        console.print(
            f"Training memory: peak of a step, median (lowest-highest) of {memory['n']} measurements{idle}.",
            soft_wrap=True,
        )
    for line in dict.fromkeys([*explanations(rows), *notes]):
        console.print(line, markup=False, soft_wrap=True)


def speeds_of(row: dict[str, Any]) -> list[Mode]:
    return [mode for mode in MODES if f"{mode}_images_per_second" in row]


def cells(row: dict[str, Any]) -> list[str]:
    published, params = row["paper_flops_millions"], row["paper_params_millions"]
    line = [
        model_title(backbone_entry(row["backbone"]).title, row["method"]),
        f"{row['macs'] / 1e6:.1f}",
        "" if published is None else f"{published:g}",
        "" if published is None else f"{difference(row['macs'], published):+.2f} %",
        f"{row['params']:,}",
        "" if params is None else f"{params:g}",
    ]
    for mode in speeds_of(row):
        speed = row[f"{mode}_images_per_second"]
        spread = "too noisy" if speed["too_noisy"] else f"{speed['q1']:,.0f}-{speed['q3']:,.0f}"
        line.append(f"{speed['median']:,.0f} ({spread})")
    if "training_memory_bytes" in row:
        memory = {name: value / 2**20 for name, value in row["training_memory_bytes"].items()}
        line.append(f"{memory['median']:,.0f} ({memory['lowest']:,.0f}-{memory['highest']:,.0f})")
    return line


def difference(macs: int, published: float) -> float:
    """Return the difference in percent of a published number in millions."""
    return 100 * (macs / 1e6 / published - 1)


def explanations(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return why ours and the paper's numbers differ, one line per backbone or cell."""
    lines = []
    for row in rows:
        entry, method = backbone_entry(row["backbone"]), row["method"]
        if entry.cost_note and row["paper_flops_millions"] is not None:
            with_norms = row["macs"] + row["norm_operations"]
            reason = entry.cost_note.format(
                with_norms=with_norms / 1e6, with_norms_percent=difference(with_norms, row["paper_flops_millions"])
            )
            lines.append(f"{entry.title}: {reason}.")
        if row["paper_params_millions"] is not None and method in entry.parameter_notes:
            lines.append(f"{model_title(entry.title, method)}: {entry.parameter_notes[method]}.")
    return lines
