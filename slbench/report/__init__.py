"""From records to tables: tidy rows first, then what a paper shows. Reads the store, never a network."""

SUFFIXES = {"md": "md", "csv": "csv", "latex": "tex", "html": "html"}  # formats, and how their files end
