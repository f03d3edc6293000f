"""What a run leaves behind: result tables, metrics, files and the report."""
