"""Which items may be returned: the filter language and its masks."""
