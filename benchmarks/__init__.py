"""Measurements: `python -m benchmarks.<name>`; each ends with one line of JSON."""
