"""The rungs of the ladder of evidence, from certain to likely: one way of matching a module."""
