"""Results in people's hands: what kind they are, their rows for files and tables, and how they print themselves."""
