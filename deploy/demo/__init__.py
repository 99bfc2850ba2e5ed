"""`make demo`: both agents and a small hospital around them, on one machine."""
