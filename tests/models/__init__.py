"""Toy models, graphs and reports that several tests share."""
