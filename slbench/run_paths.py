"""RunPaths: name of every file in the folder of a run."""

from pathlib import Path
from typing import overload


class RunFile:
    """A file of a run folder: its path as an attribute of a `RunPaths`, its name as an attribute of the class."""

    def __init__(self, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, paths: None, owner: type) -> str: ...
    @overload
    def __get__(self, paths: "RunPaths", owner: type) -> Path: ...
    def __get__(self, paths: "RunPaths | None", owner: type) -> str | Path:
        return self.name if paths is None else paths.folder / self.name


class RunPaths:
    """Paths of the files in the folder of a run.

    `RunPaths(folder).record` is a path, `RunPaths.record` the name of the file.
    """

    spec = RunFile("spec.json")
    record = RunFile("record.json")  # result; written last, so a run that has it is finished
    diverged = RunFile("diverged.json")  # outcome of a run that diverged, in place of a record
    history = RunFile("metrics.csv")  # a row per epoch
    temperatures = RunFile("temperatures.csv")  # if learned: a row per epoch, layer and head
    weights = RunFile("weights.safetensors")  # of the last epoch
    selected_weights = RunFile("weights-selected.safetensors")  # of the epoch of the best validation accuracy
    logits = RunFile("test_logits.safetensors")
    log = RunFile("log.txt")
    checkpoint = RunFile("checkpoint.pt")
    previous_checkpoint = RunFile("checkpoint-previous.pt")
    conditions = RunFile("checkpoint.json")  # under which the run began: RunConditions, readable without torch
    launch = RunFile("launch.json")  # of an unfinished run: its labels, and the command that continues it
    failure = RunFile("failure.json")  # why the last attempt failed
    pruned = RunFile("pruned.json")  # why a search stopped the run

    def __init__(self, folder: Path) -> None:
        self.folder = folder


CHECKPOINTS = (RunPaths.checkpoint, RunPaths.previous_checkpoint)
SURVIVES_RESTART = (*CHECKPOINTS, RunPaths.conditions, RunPaths.log)  # files of an unfinished attempt
