"""Small models of the usual kinds in both frameworks, module for module of the same names.

A case puts in the one part that its report is about: a norm, an attention, a head.
"""
