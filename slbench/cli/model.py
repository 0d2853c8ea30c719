"""`slbench export-model`."""

from pathlib import Path
from typing import Annotated

import typer

from slbench.cli import options
from slbench.data import DataConfig


def export_model(
    run: Annotated[str, typer.Argument(help="Id, or the beginning of one, or folder of a finished run.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write, which must not exist.")],
    store: options.StoreFolder = options.RESULTS,
    plugin: options.Plugins = [],  # noqa: ARG001, B006  (named when it is parsed)
    data_root: options.DataRoot = None,
    as_json: options.Json = False,
) -> None:
    """Write the network of a finished run into a folder: weights, settings and an example."""
    from slbench.analysis.run_selection import Requirements, named_run
    from slbench.models import CONFIG, EXAMPLE, WEIGHTS, export_model
    from slbench.store import Store

    data, results = DataConfig.read(data_root), Store(store)
    results.check(writing=False)
    chosen = named_run(results, run, Requirements(attention=False))
    config = export_model(chosen, folder, data=data)
    if as_json:
        print(config.model_dump_json(indent=2))
    else:
        print(f"{folder}: {chosen.title}, {config.epoch}: {WEIGHTS}, {CONFIG}, {EXAMPLE}")
