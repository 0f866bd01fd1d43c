"""Benchmarks: each module measures one thing, prints a table and records its figures (see ``python -m tests.benchmarks``)."""
