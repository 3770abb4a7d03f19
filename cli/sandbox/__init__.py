"""The sandbox of the process that reads the guest: nothing left but its own descriptors."""
