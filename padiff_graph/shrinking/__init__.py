"""A finding made small: the fewest operations and the smallest sizes that still show it, each step
proved by a check of its own."""
