"""Explaining a region: why its two sides differ, tried before it is told."""
