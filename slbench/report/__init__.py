"""From records to tables: tidy rows first, then what a paper shows. Reads the store, never a network."""

SUFFIXES = {"md": "md", "csv": "csv", "latex": "tex", "html": "html"}  # formats, and how their files end
FIGURES = {  # of a report, and what each needs
    "tradeoff": "a finished run",
    "tradeoff-macs": "a finished run",
    "curves": "a finished run whose metrics.csv is there and whole",
    "effects": "the rows none, spt, lsa and both of a backbone, trained in one way, with a seed that all four have",
    "size": "a row trained on two sizes of a data set or more, by dataset.fraction or dataset.per_class",
    "temperature": "a finished run whose row learns a temperature, with its temperatures.csv",
    "sweep": "a row in which one number varies, and nothing else but the seed; training-set sizes are under size",
}
DEFAULT_FIGURES = ("size", "sweep")  # nothing is drawn for most studies, so that tables come at once
