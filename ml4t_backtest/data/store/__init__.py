"""Versions of data sets and results: complete or invisible, on a disk or an object store, kept by count."""
