"""Comparisons: methods x learning rates x seeds on one task, and the tables and figures that they come to."""
