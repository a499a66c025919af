"""Samples, verdicts and the numbers that follow from them."""
