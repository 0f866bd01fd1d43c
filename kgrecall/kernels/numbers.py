"""Numbers that the compiled networks and their numpy twin share."""

SLIGHT = 0.001
"""A weighted sum of scores below this is next to nothing; its logarithm is counted from here."""
FLAT = 1e-7
"""A step of a unit below this has the slope at its end."""
