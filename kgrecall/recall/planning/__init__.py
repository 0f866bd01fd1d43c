"""Rounds, rules, guarantees and variety: what a plan makes of the channels."""
