"""The stages of a training step, each held against its counterpart by itself.

batch -> outputs -> loss -> gradients -> accumulated -> clipped -> update (state, rate, decay) ->
weights -> schedule. The user's own callables are watched while they do it; nothing is repaired on
the way.
"""
