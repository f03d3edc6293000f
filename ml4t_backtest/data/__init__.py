"""From files to slices: sources, time, joins, preparation, the feed and storage."""
