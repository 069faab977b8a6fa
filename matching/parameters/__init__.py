"""From matched operations to matched elements: points, relations, and the parameter map.

- `relations.py`, `cover.py`: which element corresponds to which; which elements views read.
- `operand_call.py`, `layouts.py`, `pointwise_layouts.py`, `product_layouts.py`: how operators
  carry relations.
- `matched_models.py`, `points.py`, `feature_order.py`, `readings.py`: the walk over all matches.
- `parameter_map.py`, `transform_words.py`: a row for each parameter, and its transform in words.
- `joined_linears.py`, `stacked.py`: Linears that the other model has as one; lists against stacks.
"""
