"""Grammars of boot loader configurations (Lark), one file per dialect."""
