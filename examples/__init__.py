"""Pairs of models to try the tool on; installed beside it as `padiff_graph_examples`."""
