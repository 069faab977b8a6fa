"""Causes as data: their list, their sentences, their likeness."""
