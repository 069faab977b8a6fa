"""Regions between matched values, run on shared inputs, refereed in float64, told in words."""
