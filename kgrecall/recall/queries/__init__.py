"""From a query to arrays: who asks, with what history, and what is left out."""
