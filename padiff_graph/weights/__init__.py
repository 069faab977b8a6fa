"""The second model's weights in the first: copied through the parameter map, compared, told where
they do not fit."""
