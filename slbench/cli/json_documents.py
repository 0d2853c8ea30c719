"""What `--json` prints: a class for each document, with its keys, their types and their meanings.

`docs/json.md` is generated from these classes and the comments of their fields; see `slbench.cli.json_page`. Commands
do not import them: tests compare what is printed with them. A key with a default is printed only in some cases.
"""

from dataclasses import dataclass
from typing import Any, Literal, NewType

from slbench.analysis.evaluation import DatasetResult
from slbench.archive.clean import Kind as RemovableKind
from slbench.archive.export import Manifest
from slbench.data.sets.published import Archive
from slbench.data.specs import DatasetSpec
from slbench.engine_settings import Engine
from slbench.engines.submission import Attempt
from slbench.grid.events import Limit
from slbench.history import EpochMetrics
from slbench.machine import Code, Host
from slbench.models import ModelConfig
from slbench.record import DivergedRecord, Kind, RunRecord
from slbench.spec import RunSpec
from slbench.stats.judge import Family
from slbench.stats.verdict import Verdict
from slbench.store import State
from slbench.study_files import Look
from slbench.tuning.record import SearchRecord
from slbench.validation import STRICT

ABSENT: Any = None  # default of a key that may be missing


class Checked:
    """Base of the documents: other keys than those below are errors."""

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class FailureCause(Checked):
    """Why the last attempt at a run failed."""

    kind: Kind
    reason: str  # one line: exit code or signal, and cause
    cause: str  # shared by failures with one cause


@dataclass(frozen=True, kw_only=True)
class Pause(Checked):
    """Where a run was interrupted."""

    epoch: int  # in which it goes on, counted from 1
    epochs: int  # of the whole run
    command: str | None  # that continues it; null: the command that started it


@dataclass(frozen=True, kw_only=True)
class RunningRun(Checked):
    """Process that trains a run, and its progress, whose keys are missing before the first step."""

    device: str  # "cpu", "cuda:0"; empty before it has one
    hostname: str
    seconds_left: float | None
    epoch: int = ABSENT  # current one, counted from 1
    epochs: int = ABSENT
    step: int = ABSENT  # finished steps of the whole run
    steps: int = ABSENT
    loss: float | None = ABSENT  # of the last step
    val_top1: float | None = ABSENT  # of the last finished epoch, in %
    test_top1: float | None = ABSENT
    images_per_second: float | None = ABSENT  # over the current epoch


@dataclass(frozen=True, kw_only=True)
class RunEntry(Checked):
    """State of a run; one of the keys from failure to running explains it."""

    run_id: str
    backbone: str  # as tables name it
    method: str
    dataset: str
    settings: list[str]  # by which runs of one name differ: "lr=0.003"
    seed: int
    trial: str | None  # of a search: "trial 3 of vit-cifar10"
    state: State
    final_test_top1: float | None  # of the last epoch, in %
    failure: FailureCause | None
    diverged: str | None  # reason
    damaged: str | None  # what is wrong with its record
    pruned: str | None  # by which search, and when
    paused: Pause | None
    running: RunningRun | None


@dataclass(frozen=True, kw_only=True)
class SeedRuleSetting(Checked):
    """Rule that adds seeds while a question is undecided."""

    min: int  # seeds of every cell
    max: int  # seeds of a cell at most
    until: str
    level: float  # of the repeated confidence intervals


class InterimComparison(Look):
    """The latest interim analysis of a comparison."""

    row: str  # id of the cell of the method
    plain: str  # id of the cell of its reference


@dataclass(frozen=True, kw_only=True)
class WorkerState(Checked):
    """Worker on a cluster."""

    task: int
    state: str  # "pending", "running", ...
    why: str  # why it waits, how it ended
    node: str
    attempts: list[Attempt]


@dataclass(frozen=True, kw_only=True)
class SubmittedWorkers(Checked):
    """Workers that were submitted together."""

    engine: Engine
    name: str  # of the job
    job_id: str | None  # null: not confirmed by the scheduler
    submitted_at: str  # ISO 8601, UTC
    folder: str
    workers: list[WorkerState]


@dataclass(frozen=True, kw_only=True)
class GridState(Checked):
    """State of the runs of a study."""

    study: str  # its name
    notes: list[str]
    total: int  # number of runs
    done: int  # number of runs in this state, as of those below
    diverged: int
    running: int
    failed: int
    damaged: int
    pruned: int
    paused: int
    missing: int
    seconds_left: float | None  # estimate; null if nothing runs
    runs: list[RunEntry]
    seeds: SeedRuleSetting = ABSENT  # of a study with a seed rule
    comparisons: list[InterimComparison] = ABSENT  # of a study with a seed rule


@dataclass(frozen=True, kw_only=True)
class Status(GridState):
    """State of the runs of a study or, without a study, of a store."""

    unreadable: list[str]  # damaged files of the store; empty with a study
    engines: list[SubmittedWorkers] = ABSENT  # in a store with submissions
    engine_problem: str | None = ABSENT  # why the scheduler could not be asked; in a store with submissions


@dataclass(frozen=True, kw_only=True)
class Power(Checked):
    """Differences that a study is likely to decide."""

    power: float  # probability
    contrasts: int  # that the intervals hold for together
    level: float  # of one interval
    seeds: list[int]  # of the study's cells
    decided_sd: dict[str, float]  # smallest difference, in SD of a difference between seeds, by number of seeds
    sd_points: dict[str, float]  # known SD in points, by "backbone on data set"


@dataclass(frozen=True, kw_only=True)
class PlanCost(Checked):
    """Cost of the runs to do; null where it is unknown without --probe."""

    runs: int  # number of runs to do
    training_images: int  # counted at each use
    macs: float  # multiply-adds of training and evaluation
    slots: list[str]  # device of each job that runs at a time
    wall_seconds: float | None
    job_seconds: dict[str, float] | None  # by run id
    disk_bytes: int | None
    peak_memory_bytes: int | None  # of the largest job
    power: Power | None  # null: the study has no question that more seeds answer


@dataclass(frozen=True, kw_only=True)
class Plan(GridState):
    """State of the runs of a study, and the cost of those to do."""

    plan: PlanCost


@dataclass(frozen=True, kw_only=True)
class WorkerEnd(Checked):
    """How a worker ended."""

    failed: int  # runs that failed here
    limit: Limit | None  # that ended it before all runs were done
    reason: str | None  # why it ended then


@dataclass(frozen=True, kw_only=True)
class Work(GridState):
    """State of the runs of a study when a worker ends."""

    worker: WorkerEnd


@dataclass(frozen=True, kw_only=True)
class JobScript(Checked):
    """What would be submitted."""

    study: str
    engine: Engine
    script: str  # text of the job script


@dataclass(frozen=True, kw_only=True)
class NewSubmission(Checked):
    """Workers that were submitted."""

    job_id: str | None
    name: str  # of the job
    workers: int
    address: str | None  # of the cluster, for Ray
    script: str | None  # its file


@dataclass(frozen=True, kw_only=True)
class Submitted(Checked):
    """Outcome of a submission. With a cluster of this command it is printed before the workers end."""

    study: str
    engine: Engine
    active: int  # workers before it
    runs_left: int
    left_out: str | None  # nodes on which workers were lost or did not start
    submission: NewSubmission | None  # null: no worker was missing


@dataclass(frozen=True, kw_only=True)
class Cancelled(Checked):
    """Workers that were cancelled."""

    study: str
    cancelled: list[str]  # workers by job id and task: "17_0"


@dataclass(frozen=True, kw_only=True)
class ShownRun(Checked):
    """A run, ended or not."""

    run_id: str
    folder: str
    state: State
    command: str | None  # that trains it again, or continues it; null: there is none in this version
    spec: RunSpec  # everything that can change the result
    record: RunRecord | DivergedRecord | None  # null: it has not ended
    epochs: list[EpochMetrics]  # finished so far


@dataclass(frozen=True, kw_only=True)
class Log(Checked):
    """Log of a run, or of a worker on a cluster."""

    id: str  # of the run, or of the worker: "17_0"
    state: State | None  # null for a worker
    file: str
    lines: list[str]


@dataclass(frozen=True, kw_only=True)
class ContrastRow(Checked):
    """Answer to a question; see the terms of `slbench.contrasts`."""

    backbone: str
    dataset: str
    setting: str  # by which cells of one name differ; empty: they do not
    contrast: str  # "both against none"
    reference: str  # method compared with; empty without one
    estimate: float | None  # difference in points
    low: float | None  # of the interval that holds jointly with the others; null without spread
    high: float | None
    low_plain: float | None  # of the interval of this contrast alone
    high_plain: float | None
    level: float | None  # of low to high
    std: float | None  # of the differences between seeds, in points
    df: float | None  # degrees of freedom
    n: int  # values behind the estimate
    over: Literal["seeds", "backbones"]  # unit of the values
    failed: str  # runs that diverged, as text; empty: none
    verdict: Verdict
    family: Family
    exploratory: bool
    correlation: float | None  # of method and reference over the seeds
    correlation_low: float | None
    correlation_high: float | None
    sequential: bool  # a seed rule decided how many seeds there are
    mixed: str  # conditions that differ between the runs: "mixed devices", "devices differ between seeds"; empty: none


TableLine = NewType("TableLine", dict[str, str | int | float | None])  # its keys: slbench.cli.json_page.table_keys


@dataclass(frozen=True, kw_only=True)
class ReportDocument(Checked):
    """Report of a study."""

    study: str
    answers: list[str]  # sentences
    contrasts: list[ContrastRow]
    table: list[TableLine]  # lines of table.csv by its heads, unrounded
    files: list[str]  # written, in the output folder
    figures: list[str]  # names of the figures without suffix


@dataclass(frozen=True, kw_only=True)
class Proof(Checked):
    """Comparison of a run that was killed and resumed with one that was not."""

    run_id: str
    verdict: Literal["identical", "different", "inconclusive"]
    killed_at: list[int]  # steps reported before each kill
    weights_sha256: dict[str, str | None]  # by "uninterrupted" and "killed"; null: that run failed or diverged
    differences: dict[str, dict[str, Any]]  # values by "uninterrupted" and "killed", by field


@dataclass(frozen=True, kw_only=True)
class ResumeCheck(Checked):
    """Outcome of a verification."""

    identical: int  # number of runs
    total: int
    runs: list[Proof]


class Exported(Manifest):
    """Table of contents of an archive that was written."""

    file: str  # of the archive
    not_finished: int  # runs that were left out


@dataclass(frozen=True, kw_only=True)
class Origin(Checked):
    """Circumstances of a result."""

    device: str
    device_name: str
    threads: int
    precision: str
    compiled: bool
    not_compiled: str  # why not, where the recipe requests it
    host: Host
    code: Code


@dataclass(frozen=True, kw_only=True)
class ConflictingRun(Checked):
    """Run with another result in the store than in the archive."""

    run_id: str
    made_alike: bool  # on one kind of device, computed alike: one of the two is wrong
    kept_in: str  # folder of the result of the archive
    differences: dict[str, dict[str, Any]]  # values by "here" and "there", by field
    here: Origin
    there: Origin


@dataclass(frozen=True, kw_only=True)
class Imported(Checked):
    """Outcome of an import."""

    added: list[str]  # folders of runs
    same: list[str]  # folders of runs that were in the store already, with the same results
    busy: list[str]  # folders of runs that another process works on: skipped
    measurements: int  # added
    studies: int  # files of studies that were added or grew
    conflicts: list[ConflictingRun]


@dataclass(frozen=True, kw_only=True)
class Leftover(Checked):
    """A file or folder that can be removed."""

    kind: RemovableKind
    path: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Cleanup(Checked):
    """What can be removed or, with --yes, was removed."""

    removed: bool
    bytes: int  # in all
    found: list[Leftover]


@dataclass(frozen=True, kw_only=True)
class Speed(Checked):
    """Images/s of a network."""

    median: float
    q1: float  # quartiles
    q3: float
    n: int  # rounds
    timing: str  # protocol: "short" or "paper"
    too_noisy: bool  # the quartiles are far apart
    other_load: float | None  # cores that other processes used meanwhile
    disturbed: bool  # by other processes


@dataclass(frozen=True, kw_only=True)
class MemoryPeak(Checked):
    """Peak memory of a training step, in bytes."""

    median: int | float
    lowest: int
    highest: int
    n: int  # measurements
    idle: int  # before the network is built


@dataclass(frozen=True, kw_only=True)
class NetworkCost(Checked):
    """Cost of a network."""

    backbone: str
    method: str
    s_pool: bool  # patch merging by SPT
    image_size: int  # side in px
    num_classes: int
    in_channels: int
    macs: int  # multiply-adds of a forward pass of one image
    norm_operations: int  # of normalisation layers, not part of macs
    params: int
    uncounted_operators: dict[str, int]  # how often each is called
    paper_flops_millions: float | None  # at the image size of the paper's Table 2
    paper_params_millions: float | None
    inference_images_per_second: Speed = ABSENT  # without --no-throughput
    train_images_per_second: Speed = ABSENT
    training_memory_bytes: MemoryPeak = ABSENT  # without --no-memory


@dataclass(frozen=True, kw_only=True)
class AnalysisDocument(Checked):
    """Outcome of an analysis."""

    folder: str
    files: list[str]  # names in the folder
    caption: list[str]  # facts for a figure's caption, and definitions


@dataclass(frozen=True, kw_only=True)
class AnalyzedRun(Checked):
    """Run of a value."""

    run: str  # id
    cell: str  # name that its seeds share
    row: str  # name in the tables
    backbone: str
    method: str
    dataset: str
    seed: int
    split: str  # of the data: "test", "val" or "train"


@dataclass(frozen=True, kw_only=True)
class TokenAttention(AnalyzedRun):
    """Attention to a token, as a row of attention.csv."""

    layer: str  # "block 9", or "rollout"
    kind: str  # of the layer
    image: int  # its index in the split
    label: int  # its class
    predicted: int  # class that the run assigns
    down: int  # row of the token in the grid, from 0
    across: int  # its column
    weight: float  # attention of the class token, or of all tokens where there is none; mean over heads


@dataclass(frozen=True, kw_only=True)
class AttentionDocument(AnalysisDocument):
    """Outcome of `analyze attention`."""

    rows: list[TokenAttention]


@dataclass(frozen=True, kw_only=True)
class AnalyzedLayer(AnalyzedRun):
    """Layer of a run."""

    images: int  # number of images
    number: int  # of the layer, from 1
    layer: str  # "block 1"
    kind: str  # of the layer
    keys: int  # number of tokens that a query can read
    learned_scale: bool  # LSA's temperature
    masks_self: bool  # LSA's mask of the diagonal


@dataclass(frozen=True, kw_only=True)
class LayerSharpness(AnalyzedLayer):
    """Sharpness of a layer, as a row of sharpness.csv; null where it has no meaning."""

    kl: float | None  # KL(uniform || attention), as the paper's code computes it
    kl_support: float | None  # the same without the diagonal
    entropy: float | None  # nats
    self_weight: float | None  # attention of a token to itself
    distance: float | None  # mean attention distance in patches


@dataclass(frozen=True, kw_only=True)
class SharpnessDocument(AnalysisDocument):
    """Outcome of `analyze sharpness`."""

    rows: list[LayerSharpness]


@dataclass(frozen=True, kw_only=True)
class LayerSelfRelation(AnalyzedLayer):
    """Self-relation of a layer, as a row of self-relation.csv; null where it has no meaning."""

    excess: float | None  # score of a token for itself, less the mean of its scores for others
    excess_share: float | None  # the same over the standard deviation of its scores for others
    self_largest: float | None  # share of the queries whose own score is the highest
    query_norm: float | None
    key_norm: float | None


@dataclass(frozen=True, kw_only=True)
class SelfRelationDocument(AnalysisDocument):
    """Outcome of `analyze self-relation`."""

    rows: list[LayerSelfRelation]


@dataclass(frozen=True, kw_only=True)
class HeadTemperature(Checked):
    """Learned temperature of a head after an epoch, as a row of temperature.csv."""

    run: str  # id
    backbone: str
    method: str
    dataset: str
    line: str  # name in the figures
    seed: int
    epoch: int  # 0: before training
    layer: str  # "block 1"
    depth: int  # of the layer, from 1
    head: int  # from 1; 0: all heads share it
    scale: float  # learned factor of the scores
    temperature: float | None  # 1 / scale; null: infinite
    sqrt_dk: float  # temperature of standard attention
    multiple: float | None  # temperature / sqrt_dk


@dataclass(frozen=True, kw_only=True)
class TemperatureDocument(AnalysisDocument):
    """Outcome of `analyze temperature`."""

    rows: list[HeadTemperature]


@dataclass(frozen=True, kw_only=True)
class ReceptiveField(Checked):
    """Receptive field by the formula, as a row of receptive-field.csv."""

    line: str  # name in the tables
    backbone: str
    method: str
    part: str  # of the network: "tokens"
    image_size: int  # px
    grid_rows: int  # of the tokens
    grid_columns: int
    stride: int  # px
    field: int  # side in px
    share_of_side: float  # of the image, at most 1
    chain: str  # kernel/stride of each layer


@dataclass(frozen=True, kw_only=True)
class ReceptiveFieldDocument(AnalysisDocument):
    """Outcome of `analyze receptive-field`."""

    rows: list[ReceptiveField]


@dataclass(frozen=True, kw_only=True)
class NamedEntry(Checked):
    """A name that a study can use."""

    name: str
    about: str


@dataclass(frozen=True, kw_only=True)
class RecipeValue(Checked):
    """A value of a recipe."""

    field: str
    value: Any
    source: str


@dataclass(frozen=True, kw_only=True)
class MachineCheck(Checked):
    """A check of this machine."""

    name: str
    passed: bool
    found: str
    fix: str | None  # how to repair it; null if the check passed


@dataclass(frozen=True, kw_only=True)
class GpuCheck(Checked):
    """A check of a GPU."""

    device: str  # "cuda:0"
    name: str
    passed: bool
    result: str


@dataclass(frozen=True, kw_only=True)
class Doctor(Checked):
    """Checks of this machine."""

    passed: bool  # all of them
    checks: list[MachineCheck]
    selftest: list[GpuCheck] | None  # empty: no usable GPU; null without --selftest


@dataclass(frozen=True, kw_only=True)
class Initialised(Checked):
    """Files of a new folder."""

    written: list[str]
    next: str  # command to go on with


@dataclass(frozen=True, kw_only=True)
class DatasetStates(Checked):
    """Data sets on this machine."""

    root: str  # folder of the data
    sets: dict[str, str]  # state by name, as text


@dataclass(frozen=True, kw_only=True)
class Fetched(Checked):
    """Outcome of a download."""

    name: str
    folder: str
    ready: bool
    missing: list[str]  # archives that --from did not name


@dataclass(frozen=True, kw_only=True)
class Verified(Checked):
    """A data set that is as published, or as runs refer to it. One that is not is an error."""

    name: str
    label: str  # as tables name it
    content: str  # what was hashed, and the hash
    verified: Literal[True]


@dataclass(frozen=True, kw_only=True)
class DataInfo(DatasetSpec):
    """What is known of a data set."""

    label: str  # as tables name it
    about: str = ABSENT  # source; of a named set
    here: str = ABSENT  # state on this machine, as text; of a named set
    archives: list[Archive] = ABSENT  # of a named set


@dataclass(frozen=True, kw_only=True)
class ImageList(Checked):
    """A list of images that was written."""

    file: str
    of: str  # published data set
    train: int  # number of images
    test: int


@dataclass(frozen=True, kw_only=True)
class Subset(Checked):
    """A data set that was written."""

    file: str
    train: int  # number of images
    test: int


@dataclass(frozen=True)
class Printed:
    """What a command prints with `--json`."""

    kind: Any  # class of the document, or list of it
    when: str = ""  # a flag in backticks or another condition, as Markdown; empty: otherwise


DOCUMENTS: dict[str, tuple[Printed, ...]] = {
    "init": (Printed(Initialised),),
    "run-grid": (Printed(Plan, "`--plan`"), Printed(GridState)),
    "work": (Printed(Work),),
    "submit": (Printed(JobScript, "`--dry-run`"), Printed(Submitted)),
    "cancel": (Printed(Cancelled),),
    "train": (Printed(RunRecord),),
    "status": (Printed(Status),),
    "show": (Printed(ShownRun),),
    "logs": (Printed(Log),),
    "report": (Printed(ReportDocument), Printed(list[ReportDocument], "several studies")),
    "tune-temperature": (Printed(SearchRecord),),
    "evaluate": (Printed(list[DatasetResult]),),
    "verify-resume": (Printed(ResumeCheck),),
    "export-model": (Printed(ModelConfig),),
    "export": (Printed(Exported),),
    "import": (Printed(Imported),),
    "clean": (Printed(Cleanup),),
    "profile": (Printed(list[NetworkCost]),),
    "list": (Printed(list[NamedEntry]), Printed(list[RecipeValue], "`--show`")),
    "doctor": (Printed(Doctor),),
    "analyze attention": (Printed(AttentionDocument),),
    "analyze sharpness": (Printed(SharpnessDocument),),
    "analyze self-relation": (Printed(SelfRelationDocument),),
    "analyze temperature": (Printed(TemperatureDocument),),
    "analyze receptive-field": (Printed(ReceptiveFieldDocument),),
    "data list": (Printed(DatasetStates),),
    "data fetch": (Printed(Fetched),),
    "data verify": (Printed(Verified),),
    "data info": (Printed(DataInfo),),
    "data list-images": (Printed(ImageList),),
    "data subset": (Printed(Subset),),
}
