"""Schemas of on-disk structures (Construct) and their named constants, one module per family."""
