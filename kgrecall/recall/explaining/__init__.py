"""Why an item is there."""
