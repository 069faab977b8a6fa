"""Judging a region: the tolerance, how much rounding may explain, who is right."""
