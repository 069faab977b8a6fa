"""A model that lives in another process: what stands for its tensors, its engine and
its backend here.

`wire.py` is what crosses, plain data and arrays; `channel.py` sends it; `handles.py` are what
stands here for a thing there; `service.py` answers there.
"""
