"""What the build makes of formats/ and grammars/, so that start-up needs neither Construct nor Lark.

Empty in the sources; see `prepare` in schema.py, tables.py and bytecode.py.
"""
