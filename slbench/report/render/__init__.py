"""A table and its findings as Markdown, LaTeX or CSV: one file a format."""
