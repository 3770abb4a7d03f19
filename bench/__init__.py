"""Side-by-side timing of pygrub against what a person would use instead; `python -m bench`."""
