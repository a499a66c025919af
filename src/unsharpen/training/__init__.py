"""Runs: a configuration, a folder, and the work in between."""
