"""Each framework's own tracer, held against eager execution, as one networkx graph."""
