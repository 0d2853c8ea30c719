"""Export runs of a store as an archive, import them into another, and remove leftovers."""
