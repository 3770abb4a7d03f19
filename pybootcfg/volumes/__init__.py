"""Partition tables: which volumes a disk holds.

`read_table(source)` gives a `Table` with its `Volume`s in the order of the table; `boot_order` gives
them in the order in which they are tried.
"""

from pybootcfg.volumes.base import Table, Volume
from pybootcfg.volumes.table import boot_order, read_table

__all__ = ["Table", "Volume", "boot_order", "read_table"]
