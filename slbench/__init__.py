"""slbench: ablations and benchmarks of SPT and LSA (arXiv:2112.13492) on vision transformers for small data sets.

Data flow:

1. a study file becomes a `study.Study`: validated, frozen, expanded into runs;
2. each run is a `spec.RunSpec` with all defaults resolved; its hash is the run id;
3. `store.Store` knows which runs have a record;
4. a `grid.executor.Executor`, such as `grid.local`, claims each of the others in the store and trains it on a free
   slot, in a child process that sees one device;
5. the child trains it in `train.run.execute` and stores its `record.RunRecord`;
6. `report` makes tidy frames and tables from records only.

Modules from top to bottom; each imports only from those below it:

    cli/          commands: parse, one library call, print; only here are typer and rich imported
    api.py        studies from Python: planned, run, reported
    models.py     networks of finished runs for use elsewhere: loaded, exported
    gpu_check.py  one-time check of a GPU
    store_check.py  check of a whole store
    store_probe.py  probe of its folder from two processes: whether claims and renames hold
    report/       verdicts, tables, figures and an HTML page from the records of a store; what a plan can decide
    engines/      workers of a study on SLURM or Ray: submitted, watched, cancelled
    tuning/       search for temperature and shift with Optuna; trials are ordinary runs
    grid/         queue, executors and their processes, runs shared with workers elsewhere, slots, failures, cost of a
                  grid, verification of exact resume
    analysis/     attention maps, their sharpness, temperatures and receptive fields of finished runs
    published/    numbers of the paper and verdicts on reproducing them
    train/        training loop, optimizer, checkpoints, one run from spec to record
    measure/      lower bounds of memory, multiply-adds, images per second, memory
    archive/      export and import of runs, removal of leftovers
    study_files.py  files of studies in a store: questions, runs, interim analyses
    study/        studies from a TOML file or flags, validated and expanded into runs
    engine_settings.py  settings of the engines that start workers elsewhere
    table_spec.py table of a study: lines, data sets, columns; metrics and costs of a column
    plotting/     matplotlib style and label placement
    stats/        contrasts and verdicts on a frame of runs: moderated variances, power, sequential seeds, test images
    provenance.py devices, versions and commits of records as text
    store.py      Store: the folder of results, and atomic writes to it
    record_files.py  checks of a run's files against its record
    stored_outputs.py  test outputs of a run, checked against its record
    record.py     RunRecord, DivergedRecord, Failure: stored outcome of a run
    history.py    metrics.csv of a run: a row per epoch
    run_paths.py  RunPaths: names of the files of a run
    measurement_records.py  stored measurements of a network or a job
    claims.py     claims of runs by processes
    differing.py  fields in which runs differ
    spec.py       RunSpec: everything that can change the result of a run
    data/         data sets by name and from users, in memory or on disk; splits, order, batches, augmentation
    examples/     plugins to copy; no other module imports them
    foreign/      models of timm, torchvision and users' files: constructors, pretrained weights, checks
    retrofit/     SPT and LSA as add-ons of models from elsewhere: apply, describe, RetrofittedBackbone
    backbones/    specs/: registry and sizes, free of torch; layers.py: Backbone and shared layers; one file a network
    methods/      method.py: Method of an ablation as a value; spt.py, lsa.py: their modules; gmm.py,
                  conv_tokenizers.py: those of rivals
    recipes.py    Recipe: settings of training
    image_shape.py  ImageShape: size, channels and classes of a network's images
    plugins.py    decorators by which users register models, methods, data sets and augmentations
    registrations.py  what plugins register, read without running them
    user_files.py files of models, plugins and weights that the user named: hashed, read for names, run on request
    csv_text.py, markdown.py  texts as CSV and Markdown, escaped
    toml_text.py  TOML within limits
    limits.py     limits that variables of the environment change
    files.py      atomic writes of files
    torch_runtime.py  threads, determinism and precision of torch
    machine.py    this machine and this version of the code
    validation.py validation of user input against types, with one-line errors
    kernel_choice.py  which kernel computes attention, by device kind, precision and shape; what is compiled
    numerics_versions.py  version of each part that determines numbers
    rng.py        random streams by seed and purpose
    names.py, errors.py, text.py
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from slbench.api import plan as plan
    from slbench.api import run as run
    from slbench.api import write_report as write_report
    from slbench.retrofit.apply import apply as apply
    from slbench.retrofit.apply import describe as describe
    from slbench.stats.judge import contrasts as contrasts
    from slbench.study import Study as Study
    from slbench.study import load_study as load_study

__version__ = "0.1.0"

MODULES = {  # of public names that need pandas, pydantic or torch, which are imported when they are first used
    "Study": "slbench.study",
    "apply": "slbench.retrofit.apply",
    "contrasts": "slbench.stats.judge",
    "describe": "slbench.retrofit.apply",
    "load_study": "slbench.study",
    "plan": "slbench.api",
    "run": "slbench.api",
    "write_report": "slbench.api",
}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first used."""
    if name in MODULES:
        import importlib

        return getattr(importlib.import_module(MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_runs(store: str | Path = "results") -> "pd.DataFrame":
    """Return the finished runs of a store, or of the `runs.csv` of a report, as a tidy frame indexed by run id.

    Columns are those of `runs.csv`: settings (`backbone`, `method`, `dataset`, `seed`, `recipe_lr`, ...), results
    (`final_test_top1` in %, ...), device and versions. Unreadable records are skipped with a warning.

    Args:
        store: folder of results, or a `runs.csv`.
    Raises:
        InputError: for a file that is no `runs.csv`, or a store that cannot be read, such as a link to itself.
    """
    import warnings

    from slbench.errors import InputError, StoreError
    from slbench.report.inputs import gather_store
    from slbench.report.tidy import read_runs
    from slbench.store import Store

    if Path(store).suffix == ".csv" and not Path(store).is_dir():
        return read_runs(Path(store))
    try:
        Store(Path(store)).check(writing=False)
    except StoreError as error:
        raise InputError(str(error)) from error
    gathered = gather_store(Store(Path(store)))
    for line in gathered.unread:
        warnings.warn(f"left out: {line}", stacklevel=2)
    return gathered.frame


def load_model(model: str | Path, *, store: str | Path = "results", plugins: Iterable[str | Path] = ()) -> "nn.Module":
    """Return the network of a finished run, or of a folder written by `slbench export-model`, in eval mode on the CPU.

    The network is an ordinary module: normalised float32 images (b c h w) in, logits (b k) out. Nothing is unpickled.
    Besides, it has two attributes:

    - `preprocess`: turns images into its input as the evaluation of the run does; called like a transform of
      torchvision. A PIL image becomes (c h w), a list of them (b c h w), resized if needed; uint8 pixels (c h w) or
      (b c h w) keep their shape and must have the network's size. See `slbench.data.images.preprocess.Preprocess`.
    - `class_names`: by label; numbers where the names are unknown.

    A run that was evaluated in bf16 has its own logits under `torch.autocast(device_type, torch.bfloat16)`.

    Args:
        model: a run id, or the beginning of one; the folder of a run; or the folder of an exported network.
        store: folder of results, where an id is looked up.
        plugins: Python files or packages of yours that the network needs; found by content, wherever they are now.
    Raises:
        InputError: if there is no such run or folder, or its weights were not kept, are damaged or do not fit.
        StoreError: if the record of the run is damaged.
    """
    from slbench.models import load_model

    return load_model(model, store=store, plugins=plugins)
