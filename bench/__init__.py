"""Measures the pair against the floors of the machine it runs on; `make bench` runs `bench.run`."""
