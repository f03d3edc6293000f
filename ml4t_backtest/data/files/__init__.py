"""What lies on disk: formats, folders, which file a row lies in, and whether it is still the one that was read."""
