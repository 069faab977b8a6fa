"""The whole check, step by step, from two models to one verdict."""
