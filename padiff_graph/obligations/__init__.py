"""What a pass asks for besides regions, and how it is shown.

`findings/obligation.py` holds the list; each file here shows one of them: outputs at the user's
places, sharing of parameters, state that a run writes, totals of gradients, the proof that a
difference is rounding.
"""
