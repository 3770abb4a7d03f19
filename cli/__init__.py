"""The command lines: pygrub and pybootcfg."""
