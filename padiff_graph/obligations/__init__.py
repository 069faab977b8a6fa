"""What a pass asks for: the list of obligations, and how those outside of regions are shown.

`obligation.py` holds the list; each other file shows one of them: outputs at the user's places,
sharing of parameters, state that a run writes, totals of gradients, the proof that a difference is
rounding.
"""
