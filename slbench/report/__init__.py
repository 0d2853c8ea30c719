"""From records to tables: tidy rows first, then what a paper shows. Reads the store, never a network."""

SUFFIXES = {"md": "md", "csv": "csv", "latex": "tex"}  # formats of a table, and how their files end
