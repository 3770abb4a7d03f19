"""Single faults: every byte of metadata that pygrub reads of an image, made wrong in every telling way.

images      which images, and where they lie unpacked
disk        a disk with changed bytes, and one that writes down what is read of it
boot        one run of pygrub's reader in this process, and what came of it
metadata    which bytes a run of pygrub reads that are not the contents of kernel and ramdisk
checksums   the two ways of keeping checksums from hiding what lies behind them
plan        the faults of one image, by number
workers     processes that make the faults one after another, and survive what comes of them
"""
