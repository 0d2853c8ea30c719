"""What finished runs have learned, looked into: attention over images, its sharpness, how tokens score themselves."""
