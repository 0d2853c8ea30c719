"""Study files and `--set`."""

import os
import socket
from pathlib import Path

from tests.hostile.case import Expected, Prepare, Table, file

PLAN = ("run-grid", "x.toml", "--plan", "--devices", "cpu")
TINY = '{ name = "vit", label = "Tiny", patch_size = 16, dim = 8, depth = 1, num_heads = 1 }'
SMALL = f'[grid]\nbackbone = [{TINY}]\nmethod = ["none"]\n'

SYNTAX: dict[str, bytes | str] = {  # content that is not a study
    "invalid UTF-8": b"title = '\xff\xfe'",
    "UTF-16": "title = 'x'".encode("utf-16"),
    "NUL byte": b"title = 'a\x00b'",
    "escape byte": b"title = 'a\x1b[31mb'",
    "binary": bytes(range(256)) * 20,
    "zip": b"PK\x03\x04" + bytes(100),
    "unclosed table": "[grid\n",
    "unclosed text": "title = 'x\n",
    "key twice": "title = 'x'\ntitle = 'y'\n",
    "table twice": "[grid]\n[grid]\n",
    "table over value": "grid = 3\n[grid]\n",
    "JSON": '{"title": "x"}',
    "YAML": "title: x\n",
    "date of no day": "title = 2025-02-30\n",
    "5,000 nested brackets": "x = " + "[" * 5_000 + "]" * 5_000,
    "100,000 nested brackets": "x = " + "[" * 100_000,
    "5,000 nested tables": "x = " + "{a=" * 5_000 + "1" + "}" * 5_000,
    "900 nested brackets": "title = " + "[" * 400 + "]" * 400,
    "dotted key of 3,001 parts": ".".join(["a"] * 3_001) + " = 1",
    "dotted header of 3,001 parts": "[" + ".".join(["a"] * 3_001) + "]\n",
    "dotted key of 800 parts": "set." + ".".join(["a"] * 800) + " = 1",
    "integer of 5,000 digits": "title = " + "9" * 5_000,
    "line of 5 MB": "# " + "x" * 5_000_000,
    "20 MB of keys": "\n".join(f"a{number} = {number}" for number in range(1_400_000)),
    "1,000,000 methods": '[grid]\nmethod = ["none"]\n' + "[[method]]\n" * 1_000_000,
}
TOP: dict[str, str] = {  # one wrong key or value of the first level
    "unknown key": "titel = 'x'",
    "empty key": "'' = 1",
    "title of a number": "title = 3",
    "title of a list": "title = ['x']",
    "recipe unknown": "recipe = 'quik'",
    "recipe of a number": "recipe = 1",
    "recipe of a list": "recipe = ['quick']",
    "protocol unknown": "protocol = 'ful'",
    "precision unknown": "precision = 'int8'",
    "keep unknown": "keep = 'all'",
    "keep of a boolean": "keep = true",
    "report of text": "report = 'md'",
    "grid of a list": "grid = []",
    "set of text": "set = 'recipe.lr=1'",
    "method of text": "method = 'lsa'",
    "method of a table": "[method]\nname = 'x'",
    "exclude of a table": "[exclude]\nmethod = 'none'",
    "contrast of text": "contrast = 'spt'",
    "statistics of a number": "statistics = 0.95",
    "seeds of a number": "seeds = 5",
    "seeds of text": "seeds = '0-9'",
    "prototype keys": "__class__ = 'x'",
    "dunder key in set": "[set]\n'__class__.__init__' = 1",
    "markup in a key": "'<script>alert(1)</script>' = 1",
    "newline in a key": '"a\\nb" = 1',
    "escape code in a key": '"a\\u001b[31mb" = 1',
    "key of 100,000 characters": "x" * 100_000 + " = 1",
    "value of 1,000,000 characters": "recipe = '" + "x" * 1_000_000 + "'",
}
GRID: dict[str, str] = {  # below [grid]; each replaces or extends a grid of a tiny network
    "backbone unknown": "backbone = ['vitt']",
    "backbone of a number": "backbone = [3]",
    "backbone of a nested list": "backbone = [['vit']]",
    "backbone of null text": "backbone = ['']",
    "backbone without a name": "backbone = [{ dim = 8 }]",
    "backbone with an unknown field": "backbone = [{ name = 'vit', dimm = 8 }]",
    "depth 0": "backbone = [{ name = 'vit', depth = 0 }]",
    "depth -1": "backbone = [{ name = 'vit', depth = -1 }]",
    "depth 1e6": "backbone = [{ name = 'vit', depth = 1000000 }]",
    "depth 1e9": "backbone = [{ name = 'vit', depth = 1000000000 }]",
    "depth of 20 digits": "backbone = [{ name = 'vit', depth = 99999999999999999999 }]",
    "depth as a float": "backbone = [{ name = 'vit', depth = 1e3 }]",
    "depth true": "backbone = [{ name = 'vit', depth = true }]",
    "dim 0": "backbone = [{ name = 'vit', dim = 0 }]",
    "dim 99999999999998": "backbone = [{ name = 'vit', dim = 99999999999998, num_heads = 2 }]",
    "dim 1e6": "backbone = [{ name = 'vit', dim = 1000000, num_heads = 2 }]",
    "dim of text": "backbone = [{ name = 'vit', dim = '8' }]",
    "heads that do not divide": "backbone = [{ name = 'vit', dim = 8, num_heads = 3 }]",
    "heads 1e9": "backbone = [{ name = 'vit', num_heads = 1000000000 }]",
    "patch 0": "backbone = [{ name = 'vit', patch_size = 0 }]",
    "patch 7": "backbone = [{ name = 'vit', patch_size = 7 }]",
    "patch 1e9": "backbone = [{ name = 'vit', patch_size = 1000000000 }]",
    "mlp_ratio nan": "backbone = [{ name = 'vit', mlp_ratio = nan }]",
    "mlp_ratio inf": "backbone = [{ name = 'vit', mlp_ratio = inf }]",
    "mlp_ratio 1e300": "backbone = [{ name = 'vit', mlp_ratio = 1e300 }]",
    "mlp_ratio 1e9": "backbone = [{ name = 'vit', mlp_ratio = 1e9 }]",
    "mlp_ratio 1e-300": "backbone = [{ name = 'vit', mlp_ratio = 1e-300 }]",
    "label empty": "backbone = [{ name = 'vit', label = '' }]",
    "label of a number": "backbone = [{ name = 'vit', label = 3 }]",
    "method unknown": "method = ['sp']",
    "method empty": "method = ['']",
    "method list empty": "method = []",
    "method of a number": "method = [1]",
    "data set unknown": "dataset = ['mnist']",
    "data set npz without a path": "dataset = ['npz:']",
    "data set npz missing": "dataset = ['npz:none.npz']",
    "data set npz /dev/zero": "dataset = ['npz:/dev/zero']",
    "data set npz with NUL": 'dataset = ["npz:a\\u0000b"]',
    "data set folder missing": "dataset = ['folder:none']",
    "data set of a table": "dataset = [{ name = 'fashion-mnist-12k', x = 1 }]",
    "seed -1": "seed = [-1]",
    "seed true": "seed = [true]",
    "seed of text": "seed = ['0']",
    "seed a float": "seed = [0.5]",
    "seed nan": "seed = [nan]",
    "seed of 20 digits": "seed = [99999999999999999999]",
    "seed 2**63": "seed = [9223372036854775808]",
    "seeds as a range": "seed = '0-99'",
    "seeds key in grid": "seeds = 5",
    "unknown axis": "backbon = ['vit']",
    "field without quotes": "recipe.lr = [0.1]",
    "axis twice by its alias": "precision = ['fp32']\n'recipe.precision' = ['bf16']",
    "lr of text": "'recipe.lr' = ['a']",
    "lr nan": "'recipe.lr' = [nan]",
    "lr 0": "'recipe.lr' = [0.0]",
    "epochs of 21 digits": "'recipe.epochs' = [999999999999999999999]",
    "batch of 21 digits": "'recipe.batch_size' = [999999999999999999999]",
    "25 million runs": f"seed = {list(range(5000))}\n'recipe.lr' = {[0.1 + i / 1e5 for i in range(5000)]}".replace(
        "'[", "["
    ),
    "a billion runs of six axes": "\n".join(
        f"'{name}' = {[0.0001 + i / 1e4 for i in range(32)]}"
        for name in (
            "recipe.lr",
            "recipe.weight_decay",
            "recipe.drop_path",
            "recipe.erase",
            "recipe.cutmix",
            "recipe.mixup",
        )
    ),
    "image size 1e9": "'dataset.image_size' = [[1000000000, 1000000000]]",
    "image size of three": "'dataset.image_size' = [[32, 32, 3]]",
}
OTHER: dict[str, str] = {  # further tables beside a tiny grid
    "exclusion of no axis": "[[exclude]]\nmethd = 'none'",
    "exclusion of everything": "[[exclude]]\nmethod = 'none'",
    "exclusion that matches nothing": "[[exclude]]\nmethod = 'lsa'",
    "empty exclusion": "[[exclude]]\n",
    "question of no method": "[[contrast]]\nmethod = 'sp'",
    "question without a method": "[[contrast]]\nreference = 'none'",
    "question twice": "[[contrast]]\nmethod = 'none'\n[[contrast]]\nmethod = 'none'",
    "question of an unknown effect": "[[contrast]]\neffect = 'spam'",
    "question with an unknown key": "[[contrast]]\nmethod = 'none'\nwhy = 1",
    "empty question": "[[contrast]]\n",
    "margin 0": "[statistics]\nmargin = 0",
    "margin nan": "[statistics]\nmargin = nan",
    "level 95": "[statistics]\nlevel = 95",
    "level 0": "[statistics]\nlevel = 0",
    "spread unknown": "[statistics]\nspread = 'iqr'",
    "unknown column": "[report]\ncolumns = ['finl']",
    "gain first": "[report]\ncolumns = ['gain']",
    "unknown label": "[report]\nbackbone = ['x']",
    "columns empty text": "[report]\ncolumns = ['']",
    "own method without a name": "[[method]]\nmask_self = true",
    "own method lsa": "[[method]]\nname = 'lsa'",
    "own method unused and impossible": "[[method]]\nname = 'mine'\nshift_pixels = 1",
    "own method of an unknown key": "[[method]]\nname = 'mine'\nmask = true",
    "own method of temperature 0": "[[method]]\nname = 'mine'\nlearn_temperature = true\ninitial_temperature = 0",
    "own method of temperature 1e-320": "[[method]]\nname = 'mine'\nlearn_temperature = true\n"
    "initial_temperature = 1e-320",
    "own method with a window of 1e9": "[[method]]\nname = 'mine'\nwindow = 1000000001",
    "own method with a path as its name": "[[method]]\nname = '../../x'\nmask = 1",
    "set and grid": "[set]\nbackbone = 'vit'",
    "fraction 0": "[set]\ndataset.fraction = 0.0",
    "fraction 1e-9": "[set]\ndataset.fraction = 1e-9",
    "fraction nan": "[set]\ndataset.fraction = nan",
    "per_class 901": "[set]\ndataset.per_class = 901",
    "per_class and fraction": "[set]\ndataset.per_class = 5\ndataset.fraction = 0.5",
    "batch above the images": "[set]\nrecipe.batch_size = 100000",
    "betas of one": "[set]\nrecipe.betas = [0.9]",
    "betas of 1": "[set]\nrecipe.betas = [1.0, 1.0]",
    "warm-up above the epochs": "[set]\nrecipe.epochs = 1\nrecipe.warmup_epochs = 100",
    "epochs 1e12": "[set]\nrecipe.epochs = 1000000000000",
    "crop of 1e9": "[set]\nrecipe.crop_padding = 1000000000",
    "repeats 1e12": "[set]\nrecipe.repeats = 1000000000000",
    "no_decay unknown": "[set]\nrecipe.no_decay = ['everything']",
    "rule of min 1": "seeds = { min = 1, max = 10, until = 'decided' }",
    "rule of max 1e9": "seeds = { min = 3, max = 1000000000, until = 'decided' }",
    "rule without an end": "seeds = { min = 3, max = 10 }",
}
VALID: dict[str, bytes | str] = {
    "comment first": "# x\n" + SMALL,
    "byte order mark": b"\xef\xbb\xbf" + SMALL.encode(),
    "Windows line ends": SMALL.replace("\n", "\r\n"),
    "title of 10,000 characters": f"title = '{'x' * 10_000}'\n" + SMALL,
    "title of markup": "title = '<script>alert(1)</script> # | `x` $(id)'\n" + SMALL,
    "label of markup": SMALL.replace('"Tiny"', '"<b>|&\\\\input{x}"'),
    "label in another alphabet": SMALL.replace('"Tiny"', '"日本 é 🙂"'),
    "label like a formula": SMALL.replace('"Tiny"', "\"=cmd|' /C calc'!A0\""),
    "title of control characters": 'title = "a\\u001b[31mb\\u0000"\n' + SMALL,
    "label of control characters": SMALL.replace('"Tiny"', '"T\\u001b]0;x\\u0007\\u009b1m"'),
}
PARSERS = (
    ("run-grid", "--plan", "--devices", "cpu"),
    ("train",),
    ("status",),
    ("report",),
    ("work", "--devices", "cpu"),
    ("export",),
    ("verify-resume", "--devices", "cpu"),
    ("analyze", "sharpness", "--study"),
)


def fifo(name: str) -> Prepare:
    return lambda folder: os.mkfifo(folder / name)


def link(name: str, target: str) -> Prepare:
    return lambda folder: (folder / name).symlink_to(target)


def unix_socket(folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)  # the name of a socket is limited to 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("x.toml")
    finally:
        os.chdir(before)


def folder_named(name: str) -> Prepare:
    return lambda folder: (folder / name).mkdir(parents=True)


def studies() -> Table:
    """Study files, read by `run-grid --plan`, and odd files read by each command that reads studies."""
    table = Table("study files")
    for name, content in SYNTAX.items():
        expected = Expected.HANDLED if name in ("line of 5 MB", "1,000,000 methods") else Expected.REFUSED
        table.add(name, PLAN, expected, file("x.toml", content))
    for name, content in TOP.items():
        table.add(name, PLAN, Expected.REFUSED, file("x.toml", f"{content}\n"))
    for name, content in GRID.items():
        base = "" if content.startswith("backbone") else f"backbone = [{TINY}]\n"
        base += "" if content.startswith("method") else 'method = ["none"]\n'
        table.add(name, PLAN, Expected.REFUSED, file("x.toml", f"[grid]\n{base}{content}\n"))
    for name, content in OTHER.items():
        text = f"{content}\n{SMALL}" if content.startswith("seeds") else f"{SMALL}\n{content}\n"
        expected = Expected.HANDLED if name == "warm-up above the epochs" else Expected.REFUSED
        table.add(name, PLAN, expected, file("x.toml", text))
    for name, content in VALID.items():
        expected = Expected.HANDLED if name == "byte order mark" else Expected.ACCEPTED
        table.add(name, PLAN, expected, file("x.toml", content))
    table.add("empty file", PLAN, Expected.REFUSED, file("x.toml", ""))
    table.add("title only", PLAN, Expected.HANDLED, file("x.toml", "title = 'x'"))
    return table


def study_paths() -> Table:
    """Paths that are no study file, for each command that reads one."""
    table = Table("paths of study files")
    odd: dict[str, tuple[str, tuple[Prepare, ...]]] = {
        "FIFO": ("x.toml", (fifo("x.toml"),)),
        "endless device": ("/dev/zero", ()),
        "empty device": ("/dev/null", ()),
        "folder": ("x.toml", (folder_named("x.toml"),)),
        "missing": ("none.toml", ()),
        "name of 300 characters": ("x" * 300 + ".toml", ()),
        "link to itself": ("x.toml", (link("x.toml", "x.toml"),)),
        "deep brackets": ("x.toml", (file("x.toml", SYNTAX["5,000 nested brackets"]),)),
        "long dotted key": ("x.toml", (file("x.toml", SYNTAX["dotted key of 3,001 parts"]),)),
    }
    for command in PARSERS:
        for name, (path, prepare) in odd.items():
            after = ("x.tar",) if command == ("export",) else ()
            table.add(f"{' '.join(command[:2])}: {name}", (*command, path, *after), Expected.REFUSED, *prepare)
    table.add("socket", PLAN, Expected.REFUSED, unix_socket)
    table.add("/proc/self/mem", ("run-grid", "/proc/self/mem", "--plan"), Expected.REFUSED)
    table.add("terminal device", ("run-grid", "/dev/tty", "--plan"), Expected.REFUSED)
    table.add("standard input", ("run-grid", "/dev/stdin", "--plan"), Expected.REFUSED)
    table.add("empty path", ("run-grid", "", "--plan"), Expected.REFUSED)
    return table


SETTINGS = (
    "", "=", "=3", "recipe.lr", "recipe", "recipe=", "recipe=3", "recipe.lr=", "recipe.lr==1", "recipe.lr=x",
    "recipe.lr=nan", "recipe.lr=inf", "recipe.lr=-inf", "recipe.lr=-1", "recipe.lr=0", "recipe.lr=true",
    "recipe.lr=[0.1]", "recipe.lr={a=1}", "recipe.lr='0.1'", "recipe.lr=0.1; id", "recipe.lr=0.1\nrecipe.epochs=3",
    "recipe.lr=__import__('os').system('id')", "recipe.lr.x=1", ".recipe.lr=1", "recipe.lr.=1", "recipe..lr=1",
    "RECIPE.LR=1", "recipe.lrr=1", "recipe.__class__=1", "__class__=1", "recipe.epochs=0", "recipe.epochs=-1",
    "recipe.epochs=1.5", "recipe.epochs=1e3", "recipe.epochs=true", "recipe.epochs=999999999999999999999",
    "recipe.epochs=" + "9" * 5000, "recipe.batch_size=0", "recipe.batch_size=1000000000000", "recipe.flip=1",
    "recipe.flip=yes", "recipe.betas=0.9", "recipe.betas=[0.9]", "recipe.betas=[0.9, 2.0]", "recipe.betas=[nan, 0.9]",
    "recipe.precision=int8", "recipe.precision=FP32", "recipe.drop_path=1", "recipe.drop_path=-0.1",
    "recipe.label_smoothing=1", "recipe.clip_norm=0", "recipe.clip_norm=-1", "recipe.ema_decay=1",
    "recipe.erase_area=[0.4, 0.02]", "recipe.mixup=2", "recipe.mixup_alpha=0", "backbone.depth=0",
    "backbone.depth=1000000", "backbone.depth=1000000000", "backbone.dim=99999999999998", "backbone.dim=0",
    "backbone.num_heads=5", "backbone.num_heads=0", "backbone.patch_size=0", "backbone.patch_size=5",
    "backbone.mlp_ratio=nan", "backbone.mlp_ratio=1e308", "backbone.name=pit", "backbone=vit", "method=lsa",
    "method.shift=up", "method.initial_temperature=0", "method.initial_temperature=nan",
    "dataset.image_size=0", "dataset.image_size=[0, 0]", "dataset.image_size=[1000000, 1000000]",
    "dataset.image_size=[32]", "dataset.fraction=0", "dataset.fraction=2", "dataset.per_class=0",
    "dataset.per_class=99999", "dataset.split_seed=-1", "dataset.split_seed=true", "dataset.mean=0",
    "seed=-1", "seed=[0, 1]", "protocol=none", "protocol=1", "schema=3", "numerics.vit=2", "labels.keep=none",
    "recipe.lr=" + "[" * 5000, "recipe.lr=" + "{a=" * 3000, ".".join(["a"] * 3001) + "=1", "x" * 100_000 + "=1",
    "recipe.lr=\x1b[31m1", "recipe.lr=\x7f",
)  # fmt: skip
IGNORED_SETTINGS = ("method.shift_pixels=1",)  # by the method "none"
VALID_SETTINGS = (
    "method.window=2",
    "recipe.lr=0.1", " recipe.lr = 0.1 ", "recipe.lr=1", "recipe.weight_decay=1e-300", "recipe.flip=false",
    "recipe.betas=[0.5, 0.9]", "recipe.precision=fp32", "recipe.precision='fp32'", "recipe.clip_norm=1",
)  # fmt: skip


def settings() -> Table:
    """Values of `--set`."""
    table = Table("--set")
    grid = ("run-grid", "x.toml", "--plan", "--devices", "cpu", "--set")
    tiny = file("x.toml", SMALL)
    for setting in SETTINGS:
        whole = setting.startswith("backbone")  # cannot be set for a backbone of the file
        arguments = ("run-grid", "--method", "none", "--plan", "--devices", "cpu", "--set") if whole else grid
        table.add(setting, (*arguments, setting), Expected.REFUSED, tiny)
    for setting in IGNORED_SETTINGS:
        table.add(setting, (*grid, setting), Expected.SAID, tiny, words=("ignored",))
    for setting in VALID_SETTINGS:
        table.add(setting, (*grid, setting), Expected.ACCEPTED, tiny)
    return table
