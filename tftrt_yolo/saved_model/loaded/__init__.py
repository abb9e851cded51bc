"""What came of loading a SavedModel: its functions, what runs them, and in which arithmetic."""
