"""Ranges that a network was trained with: from the checkpoint, beside the SavedModel, into an INT8 conversion."""
