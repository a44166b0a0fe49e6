"""The commands: one readable file each; `python -m scripts` lists them."""
