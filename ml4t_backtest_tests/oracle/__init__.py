"""An independent oracle of the engine: see README.md."""
