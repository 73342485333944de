"""Benchmarks that run a peer, or the floor, beside Callboard in the same run: `python -m tests.bench`."""
