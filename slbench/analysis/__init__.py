"""What finished runs have learned, looked into: attention, temperatures, what a token and a class read of an image."""
