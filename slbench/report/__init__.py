"""From records to tables: tidy rows first, then what a paper shows. Reads the store, never a network."""
