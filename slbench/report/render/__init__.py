"""Tables and findings as Markdown, LaTeX or CSV, one file per format."""
