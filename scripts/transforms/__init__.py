"""What bench-transform, bench-spill and bench-transform-bodies share."""
