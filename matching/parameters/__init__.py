"""From matched operations to matched elements: points, relations, and the parameter map."""
