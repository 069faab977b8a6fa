"""Which value, operation, module and parameter of one model corresponds to which of another.

- `ladder.py`: `match`: the rungs asked in turn; `rungs/`: what they are, in a table, and how each
  matches.
- `labels.py`, `sides.py`: what a node looks like by itself; a graph prepared for matching.
- `match_state.py`, `neighbours.py`, `unique_keys.py`, `operand_positions.py`, `weights_only.py`:
  what rungs work on.
- `confidence.py`: what a match keeps once all is matched.
- `tree/`: what module paths say; `parameters/`: from matched operations to matched elements.
- `difference/`: what is built differently; `result.py`: all that is found, as plain data.
"""
