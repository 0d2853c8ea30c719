"""What finished runs have learned, looked into: temperatures, and what a token and a class read of an image."""
