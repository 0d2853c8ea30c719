"""slbench: ablations and benchmarks of SPT and LSA (arXiv:2112.13492) on vision transformers for small data sets.

The flow, in which no arrow goes back:

1. a study file -> `study.Study`: checked, frozen, expanded into runs;
2. each run is a `spec.RunSpec`, every default written out; its hash is its id;
3. `store.Store` knows which runs have a record;
4. `grid.local` hands each of the others to a free slot, in a child process that sees one device;
5. the child, `train.run.execute`, trains it and files its `record.RunRecord`;
6. `report` reads records, and nothing else, into tidy rows and tables.

The rooms, from the top; each imports only from rooms below it:

    cli/          the commands: parse, one library call, print. Only here are typer and rich imported
    gpu_check.py  what the owner of a GPU runs once
    report/       tables, findings, figures and one HTML page, from the records of a store
    tuning/       the search for a temperature and a shift: Optuna asks, trials are ordinary runs
    grid/         slots, the local executor and its processes, failures, cost of a grid, the proof of exact resume
    analysis/     what finished runs have learned: attention and its sharpness, temperatures, receptive fields
    published/    the paper's numbers, and verdicts on reproducing them
    train/        the loop, the optimizer, checkpoints, one run from spec to record
    measure/      multiply-adds, images per second, memory
    study/        a TOML file or flags, checked and expanded into runs
    table_spec.py the table of a study: rows, data sets, columns; metrics and costs that a column can show
    plotting/     matplotlib style and label placement
    stats/        intervals, the 2x2, power, sequential seeds: numbers in, numbers out
    archive/      export and import of runs, removal of leftovers
    provenance.py devices, versions and commits of records, as one sentence each
    store.py      Store: where results are kept, and how anything gets there
    record.py     RunRecord: what is filed of a run, finished, failed or stopped
    measurement_records.py  what was measured of a network or a job, as it is filed
    claims.py     who is at work on which run
    differing.py  which fields tell runs apart
    spec.py       RunSpec: everything that can change a result
    data/         the data sets by name, a user's own; in memory or on the disk; order, splits, batches, augmentation
    backbones/    specs.py: sizes, free of torch; layers.py: what they share; one file a network
    methods/      method.py: a method of an ablation as a value; spt.py, lsa.py: each written once
    recipes.py    Recipe: how a network is trained
    files.py      files written whole or not at all
    torch_runtime.py  threads, determinism and precision of torch
    machine.py    facts of this machine and this code
    validation.py what a person wrote against a type, in one line
    numerics_versions.py  the version of every part that decides a number
    rng.py        random streams by name
    names.py, text.py, errors.py
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__version__ = "0.1.0"


def load_runs(store: str | Path = "results") -> "pd.DataFrame":
    """Every finished run of a store as a tidy frame: a row a run, its index the run's id.

    Columns are those of `runs.csv`: what the run is (`backbone`, `method`, `dataset`, `seed`, `recipe_lr`, ...), what
    came out (`final_test_top1` in %, ...), and what it was made with. Records that cannot be read are left out, with a
    warning that names them.
    """
    import warnings

    from slbench.report.inputs import gather_store
    from slbench.store import Store

    gathered = gather_store(Store(Path(store)))
    for line in gathered.unread:
        warnings.warn(f"left out: {line}", stacklevel=2)
    return gathered.frame
