"""What users write: strategies, and the examples that ship with the package."""
