"""Numbers published in the paper, and the comparison of our runs with them."""
