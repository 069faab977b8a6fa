"""A side of a check that lives in another interpreter: started, asked and ended.

`side.py` is what a user names, `opened.py` makes the call's models of it, `process.py` is the other
interpreter as seen from here, `worker.py` what runs there.
"""
