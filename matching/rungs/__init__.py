"""The rungs of the ladder of evidence, from certain to likely.

- `rung.py`, `table.py`: what a rung is; all of them, with their confidences and words.
- `hints.py`, `given.py`: what is given; `value_evidence.py`, `equal_values.py`: fingerprints of
  values, by which nodes match.
- `ordered_hashes.py`: everything above and below (Weisfeiler-Lehman style, ordered);
  `symmetry.py`: equal branches.
- `propagation.py`, `replacement.py`, `surroundings.py`: from anchors to what is near them.
- `gaps.py`, `sequence_alignment.py`: what stands in order between anchors.
- `rebind.py`, `misnamed.py`: corrections; `leaf_readers.py`: weights, through their readers.
"""
