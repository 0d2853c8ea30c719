"""Reports: tables, findings and figures from the records of a store."""

SUFFIXES = {"md": "md", "csv": "csv", "latex": "tex", "html": "html"}  # file suffix of each format
FIGURES = {  # and the data that each needs
    "tradeoff": "a finished run",
    "tradeoff-macs": "a finished run",
    "curves": "a finished run with a complete metrics.csv",
    "effects": "the methods none, spt, lsa and both of a backbone, trained alike, with a common seed",
    "size": "a method trained on two or more sizes of a data set (dataset.fraction or dataset.per_class)",
    "temperature": "a finished run of a method with a learned temperature, and its temperatures.csv",
    "sweep": "a method in which only one number and the seed vary (training-set sizes: see size)",
}
DEFAULT_FIGURES = ("size", "sweep")  # most studies have neither, so that their tables are quick
