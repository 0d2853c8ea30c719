"""Reports: tables, findings and figures from the records of a store."""

SUFFIXES = {"md": "md", "csv": "csv", "latex": "tex", "html": "html"}  # file suffix of each format
