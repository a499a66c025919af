"""Thin carriers: they fill a GroupBatch, call the method, and hand the result on."""
