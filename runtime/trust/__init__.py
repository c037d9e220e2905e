"""Whether a bundle is the one that somebody signed, or whose digest is at hand: offline."""
