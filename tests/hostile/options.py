"""Options of all commands."""

from pathlib import Path

from tests.hostile.case import Expected, Prepare, Table, file
from tests.hostile.studies import SMALL, fifo

STUDY = file("x.toml", SMALL)
HUGE = "9" * 25
WHOLE = ("-1", "x", "", "1.5", "nan", "1e3", "٣x", HUGE + "x")  # no whole number from 0
COUNT = ("0", *WHOLE)  # no whole number from 1
REAL = ("x", "", "nan", "inf", "-1", "1,5")
NAMES = ("", ",", " ", "nope", "none,nope", "../x", "\x1b[31m", "x" * 10_000)
TIME = ("", "0", "-5", "x", "5y", "nan", "inf", "1e3", "1:30", "9" * 400 + "d")
DEVICE = ("", ",", "cpuu", "cuda:99", "cuda:-1", "cuda:x", "cpu,nope", "cpu,cpu", "gpu", "cpu:7")
JOBS = ("0", "-1", "x", "1.5", "", "999999999", "٣x")
SHORT_SEARCH = (
    "tune-temperature", "--trials", "1", "--epochs", "1", "--seeds-per-trial", "1", "--compare-seeds", "0",
    "--devices", "cpu",
    *(f"--set={field}" for field in ("backbone.patch_size=16", "backbone.dim=8", "backbone.depth=1",
    "backbone.num_heads=1")),
    "--set=dataset.fraction=0.05", "--set=recipe.batch_size=50",
)  # fmt: skip
FOLDER = ("", "x" * 300, "x.toml/store", "/proc/x", "loop")  # of a store
GRID_OPTIONS = {
    "--backbone": NAMES,
    "--method": NAMES,
    "--dataset": (
        *NAMES[3:],
        "npz:",
        "npz:none.npz",
        "npz:/dev/zero",
        "folder:none",
        "folder:x.toml",
        "npz:.",
        "NPZ:x",
    ),
    "--seeds": (*COUNT, "10001", HUGE),
    "--recipe": NAMES[3:],
    "--protocol": NAMES[3:],
    "--epochs": (*COUNT, HUGE),
    "--batch-size": (*COUNT, HUGE),
    "--lr": ("0", *REAL),
    "--weight-decay": REAL,
    "--warmup-epochs": REAL,
    "--drop-path": ("1", *REAL),
    "--devices": DEVICE,
    "--jobs-per-device": JOBS,
    "--threads": COUNT,
    "--retries": WHOLE,
    "--timeout": TIME,
    "--max-failures": COUNT,
    "--store": FOLDER,
    "--speeds": ("none.json", ".", "x.toml", "/dev/zero", "x" * 300, "fifo"),
}
PROFILE = {
    "--image-size": (*COUNT, "100000", "99999999", HUGE),
    "--classes": ("1", *COUNT, "999999999999", HUGE),
    "--in-chans": (*COUNT, "1000000", HUGE),
    "--batch-size": COUNT,
    "--timing": NAMES[3:],
    "--precision": ("int8", "FP32", "nope"),
    "--backbone": NAMES[3:],
    "--method": NAMES[3:],
    "--devices": DEVICE,
    "--threads": COUNT,
}
REPORT = {
    "--format": ("pdf", "md,pdf", "", ",", "MD", "../x"),
    "--accuracy": ("fnal", "final,x", ",", "../x"),
    "--columns": ("gain", "fnal", "final,nope", ",", "final,final", "macs,gain", "../x"),
    "--figures": ("nope", "none,all", "none,tradeoff", "../x"),
    "--out": ("x.toml", "/proc/x", "x" * 300, "loop"),
    "--store": ("", "none", "x.toml", "x" * 300, "loop", "/dev/null", "/"),
}
TUNE = {
    "--backbone": ("nope", "vit,pit", "../x", ""),
    "--dataset": ("nope", "npz:", "npz:none.npz", "npz:/dev/zero"),
    "--method": ("nope", "none", "", ","),
    "--trials": (*COUNT, HUGE),
    "--timeout": TIME,
    "--seeds-per-trial": (*COUNT, "99999999", HUGE),
    "--search": ("none.toml", ".", "/dev/zero", "x" * 300, "fifo", "loop"),
    "--sampler": ("nope", "", "TPE"),
    "--pruner": ("nope", "", "Median"),
    "--sampler-seed": (*WHOLE, HUGE, "4294967296"),
    "--storage": (
        "", "x", "sqlite://", "sqlite:///:memory:", "sqlite:////proc/x/y.db", "sqlite:///x.toml", "postgresql://u:p@[::1",
        "nope://x", "grpc://", "grpc://x:y", "grpc://:", "mysql://", "file:///etc/passwd", "sqlite:///.", "sqlite:///fifo",
    ),
    "--compare-seeds": (*WHOLE, HUGE, "99999999"),
    "--name": ("", "../x", "a/b", ".", "..", "x" * 300, "a\nb", "\x1b[31m", "-"),
    "--set": ("recipe.lr", "recipe.lrr=1", "method.shift=up"),
    "--devices": DEVICE,
    "--store": FOLDER,
}  # fmt: skip
OTHER: tuple[tuple[tuple[str, ...], dict[str, tuple[str, ...]]], ...] = (
    (("work", "x.toml", "--wait"), {"--idle-timeout": TIME}),
    (("submit", "x.toml", "--dry-run"), {"--workers": COUNT, "--max-parallel": COUNT, "--store": FOLDER}),
    (("work", "x.toml"), {"--max-runs": COUNT, "--max-time": TIME, "--retries": WHOLE, "--store": FOLDER}),
    (("train", "x.toml"), {"--seed": (*WHOLE, HUGE), "--devices": ("", "cpu,cpu", "nope"), "--store": FOLDER}),
    (("verify-resume", "x.toml"), {"--kills": ("0", "101", "-1", "x"), "--kill-seed": ("x", "", "1.5")}),
    (("status",), {"--store": ("none", "x.toml", "loop", "x" * 300, "")}),
    (("clean",), {"--store": ("none", "x.toml", "loop", "x" * 300, "")}),
    (("doctor",), {"--threads": COUNT, "--devices": DEVICE}),
    (("analyze", "receptive-field", "--backbone", "vit"), {
        "--image-size": (*COUNT, "99999999", "100000"), "--in-chans": (*COUNT, "1000000000"), "--of": ("nope", "", ","),
        "--classes": ("1", "0", "999999999999"), "--images": (*COUNT, "99999999999"), "--seed": (*WHOLE, HUGE),
        "--method": ("nope",), "--out": ("x.toml", "/proc/x"),
    }),
)  # fmt: skip
OF_ONE_RUN = (  # after the command and a run
    ("x.toml",), (".",), ("loop",), ("fifo/x",), ("x" * 300,), ("/proc/x",), ("out", "--store", "none"),
    ("out", "more"),
)  # fmt: skip
OF_RUNS: tuple[tuple[tuple[str, ...], dict[str, tuple[str, ...]]], ...] = (
    (("analyze", "sharpness", "9e8f"), {
        "--split": ("nope", ""), "--max-images": COUNT, "--batch-size": COUNT, "--threads": COUNT,
        "--device": ("nope", "", "cuda:99"), "--seed": ("x", "-1", "", ","), "--study": ("none.toml", "/dev/zero",
        "fifo"),
    }),
    (("analyze", "attention", "9e8f"), {
        "--images": ("x", "-1", "", ",", "9999999", HUGE), "--per-class": (*COUNT, HUGE), "--split": ("nope",),
    }),
)  # fmt: skip
ALONE = (  # whole command lines
    ("run",), ("",), ("run-grid",), ("work",), ("export",), ("export", "x.zip"), ("export", "x.tar", "y.tar", "z.tar"),
    ("import",), ("import", "none.tar"), ("import", "."), ("import", "/dev/zero"), ("import", "/dev/null"), ("import",
    "fifo"),
    ("import", "x" * 300), ("import", "x.toml"), ("import", "loop"), ("logs",), ("logs", ""), ("logs", "zzz"),
    ("logs", "../.."),
    ("logs", "*"), ("logs", "0" * 10_000), ("export-model",), ("export-model", "zzz"),
    ("export-model", "zzz", "x"), ("export-model", "", "x"), ("data", "info", "folder:/proc"), ("data", "info",
    "folder:/sys"), ("list",), ("list", "x"), ("list", "recipes", "--show", "x"),
    ("data", "fetch", "x"), ("data", "fetch", ""), ("data", "info", "npz:"), ("data", "info", "npz:fifo"),
    ("data", "info", "npz:/dev/zero"), ("data", "info", "folder:x.toml"), ("data", "info", "folder:/dev"), ("data",
    "verify", "x"),
    ("data", "fetch", "cifar10", "--from", "none"), ("data", "fetch", "cifar10", "--from", "/dev/zero"),
    ("data", "fetch", "cifar10", "--from", "x.toml"), ("data", "fetch", "cifar10", "--from", "fifo"), ("report", "."),
    ("report", "x.toml", "--out", "x.toml"), ("report", "/dev/zero"), ("report", "none"), ("report", "", "--store",
    "s"),
    ("analyze", "attention", "zzz"), ("analyze", "temperature", ""), ("analyze", "sharpness"), ("analyze",), ("data",),
    ("run-grid", "x.toml", "y.toml"), ("run-grid", "--set"), ("run-grid", "--plan", "--speeds", "none.json", "x.toml"),
    ("run-grid", "x.toml", "--save-speeds", "/proc/x"), ("run-grid", "--backbone=vit", "--seeds=0"), ("verify-resume",),
    ("--nope",), ("-x",), ("run-grid", "--", "--plan"), ("tune-temperature", "x.toml"), ("status", "x.toml", "y.toml"),
)  # fmt: skip
HELP = (("analyze",), ("data",))  # print their help


def loop(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")


def options() -> Table:
    """Every option of every command with values that it must refuse."""
    prepare: tuple[Prepare, ...] = (STUDY, loop, fifo("fifo"))
    table = Table("options", prepare=prepare, store=False)
    plan = ("run-grid", "x.toml", "--plan", "--devices", "cpu")
    add(table, plan, {name: values for name, values in GRID_OPTIONS.items() if name not in ("--store",)})
    add(
        table,
        ("run-grid", "x.toml", "--devices", "cpu", "--no-throughput"),
        {"--store": FOLDER, "--tensorboard": FOLDER[1:]},
    )
    add(table, ("profile", "--backbone", "vit", "--method", "none", "--no-throughput", "--devices", "cpu"), PROFILE)
    add(table, SHORT_SEARCH, TUNE)
    for command, values in OTHER:
        add(table, command, values)
    for arguments in ALONE:
        expected = Expected.HANDLED if arguments in HELP else Expected.REFUSED
        table.add(" ".join(arguments) or "empty command", arguments, expected)
    return table


def stored_options() -> Table:
    """Options of commands that read a store."""
    table = Table("options of reports and analyses", prepare=(STUDY, loop, fifo("fifo")), store=True)
    add(
        table, ("report", "--figures", "none"), {name: values for name, values in REPORT.items() if name != "--figures"}
    )
    add(table, ("report",), {"--figures": REPORT["--figures"]})
    for command, values in OF_RUNS:
        add(table, command, values)
    for more in OF_ONE_RUN:
        table.add(f"export-model {' '.join(more)}", ("export-model", "9e8f", *more))
    return table


def add(table: Table, command: tuple[str, ...], values: dict[str, tuple[str, ...]]) -> None:
    for option, bad in values.items():
        for value in bad:
            rest = without(command, option)
            table.add(
                f"{' '.join(command[:1])} {option} {value!r}",
                (*rest, f"{option}={value}"),
                expected_of(command, option, value),
            )


def expected_of(command: tuple[str, ...], option: str, value: str) -> Expected:
    """Return what a command does with a value: a store that does not exist is an empty one for some."""
    if option == "--store" and command[0] in ("status", "clean") and value == "none":
        return Expected.HANDLED
    if option == "--store" and value == "/":
        return Expected.HANDLED
    return Expected.REFUSED


def without(command: tuple[str, ...], option: str) -> tuple[str, ...]:
    """Return a command without an option and its value."""
    if option not in command:
        return command
    place = command.index(option)
    return (*command[:place], *command[place + 2 :])
