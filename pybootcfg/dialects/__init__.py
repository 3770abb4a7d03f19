"""Interpreters of boot loader configurations, one module per dialect."""
