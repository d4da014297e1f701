"""How well detectors find the odd rows of 22 public tables, beside other libraries: `make bench-quality`."""
