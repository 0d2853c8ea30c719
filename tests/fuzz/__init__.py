"""Properties of all readers of arbitrary input: success, or one `SlbenchError`. Run for long by `make fuzz`.

`corpus/` has seeds, which the strategies cut, repeat and splice; further ones are the files of the golden store.
"""
