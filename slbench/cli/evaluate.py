"""`slbench evaluate`."""

import dataclasses
from typing import Annotated

import typer

from slbench.cli import options
from slbench.cli.printing import print_json
from slbench.data import DataConfig
from slbench.errors import InputError
from slbench.store import Store


def evaluate(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Ids of finished runs, or the beginnings of them; or folders.")
    ],
    dataset: options.Datasets = [],  # noqa: B006  (typer reads it once)
    split: Annotated[str, typer.Option("--split", help="Images: test, val or train.")] = "test",
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: ARG001, B006  (named when it is parsed)
    data_root: options.DataRoot = None,
    stream: options.Stream = False,
    device: Annotated[str, typer.Option("--device", help="Device: auto, cpu, mps or cuda:0.")] = "auto",
    threads: options.Threads = 1,
    as_json: options.Json = False,
) -> None:
    """Test the kept weights of finished runs on other data.

    Images are resized to the network's size and normalised as its training images; classes are matched by name.
    """
    from slbench.analysis.run_selection import Requirements, named_run, split_named
    from slbench.cli.analyze import torch_device

    data, results = DataConfig.read(data_root, stream=stream, runs_plugins=True), Store(store)
    results.check(writing=False)
    sets = options.split(dataset, "--dataset")
    if not sets:
        raise InputError(
            "--dataset: what to test on is missing; a data set of slbench data list, npz:PATH or folder:PATH"
        )
    part = split_named(split)
    runs = [named_run(results, name, Requirements(attention=False)) for name in names]
    where = torch_device(device, threads)
    from slbench.analysis.evaluation import evaluate as result_of

    found = [
        result_of(run, name, split=part, data=data, device=where, threads=threads) for run in runs for name in sets
    ]
    if as_json:
        print_json([dataclasses.asdict(result) for result in found])
        return
    for result in found:
        print(
            f"{result.model} seed {result.seed} ({result.run_id}), trained on {result.trained_on}, {result.epoch}: "
            f"{result.dataset} {result.split} top-1 {result.top1:.2f} % ({result.low:.2f} to {result.high:.2f} over "
            f"{result.images:,} images), top-5 {result.top5:.2f} %, loss {result.loss:.4f}"
        )
        for note in result.notes:
            print(f"note: {note}")
