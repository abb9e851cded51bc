"""A job on Ray Data: its plan, its directory, its rows, and what runs on the nodes."""
