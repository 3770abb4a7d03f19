"""Read what a virtual machine would boot straight out of its disk image."""

__version__ = "0.1.0"
