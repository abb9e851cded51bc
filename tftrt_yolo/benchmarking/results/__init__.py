"""What a benchmark found: the figures, the report and its tables, the picture and the repository's pages."""
