"""Paddle: dygraph-to-static first, then a ladder of fallbacks."""
