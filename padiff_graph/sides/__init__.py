"""A side of a check that does not live in this process: in another interpreter, started, asked and
ended, or in a recording.

`side.py` is what a user names, `opened.py` makes the call's models of it, `process.py` is the other
interpreter as seen from here, `worker.py` what runs there. `recording_file.py` is the file of a
recording, `recorded_model.py` and `recorded_engine.py` what stands for its model.
"""
