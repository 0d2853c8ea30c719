"""Files of a new folder of experiments: a commented study, and a store that git ignores."""

import os
from pathlib import Path

from slbench.errors import InputError
from slbench.files import write_new

STUDY = """\
# A study of slbench: the runs are the product of the lists under [grid].
#
#   slbench run-grid study.toml --plan      the runs, their state and their cost; changes nothing
#   slbench run-grid study.toml             trains what is missing; after an interruption the same command resumes
#   slbench status study.toml --watch       from another terminal
#   slbench report study.toml               answers, table and figures, in results/reports/study
#
# `slbench list KIND` names what may be written here: backbones, methods, datasets, recipes, studies.

title = "SPT and LSA on my images"
recipe = "quick"                # how a network is trained; `slbench list recipes --show quick` has every value
protocol = "holdout"            # a tenth of the training images validates; "full" trains on all of them

[grid]
# A name ("vit", "vit-tiny", "swin", "timm:MODEL") or a table of a name and sizes, as here.
backbone = [{ name = "vit", label = "ViT-small", patch_size = 8, dim = 96, depth = 4, num_heads = 4 }]
method = ["none", "both"]       # "spt" and "lsa" alone; "both" is SPT and LSA
# Your own images: "folder:PATH" (one folder of image files per class) or "npz:PATH"; this set is part of slbench.
dataset = ["fashion-mnist-12k"]
seed = [0, 1, 2]                # two or more, or a difference has no interval
# "recipe.lr" = [0.001, 0.003]  # any field of a run can be an axis

[set]                           # fields of every run, as with --set
recipe.epochs = 5

# A method of your own, from the fields of a method; add its name to grid.method.
# [[method]]
# name = "lsa-per-layer"
# learn_temperature = true
# temperature_per = "layer"       # one temperature per layer, where LSA has one per head
# mask_self = true

# A question that the report answers first; without any: every method against "none".
[[contrast]]
method = "both"
reference = "none"

# [statistics]
# margin = 0.5                  # in points; smaller differences have no practical meaning
"""
IGNORE = "# Results of slbench: git leaves them out. To commit reports, remove this file.\n*\n"


def write_starter(folder: Path) -> list[Path]:
    """Write `study.toml`, and `results/.gitignore` unless there is one; return the files written.

    Raises:
        InputError: if there is a study already, or the folder is a file; nothing is written then.
    """
    study, ignore = folder / "study.toml", folder / "results" / ".gitignore"
    for path in (folder, ignore.parent):
        if os.path.lexists(path) and not path.is_dir():
            raise InputError(f"{path}: must be a folder, but is a file; choose another folder")
    if os.path.lexists(study):
        raise InputError(f"{study}: exists already and is not overwritten; choose another folder: slbench init DIR")
    written = list[Path]()
    for path, content in ((study, STUDY), (ignore, IGNORE)):
        if not os.path.lexists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_new(path, content.encode())
            written.append(path)
    return written
