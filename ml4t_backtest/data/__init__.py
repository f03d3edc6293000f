"""From files to slices: sources, time, joins, preparation and the feed; what lies on disk, doubtful data, versions."""
