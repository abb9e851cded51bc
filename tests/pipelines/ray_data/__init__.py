"""Jobs on Ray Data."""
