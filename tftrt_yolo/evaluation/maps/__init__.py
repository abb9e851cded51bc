"""What maps are measured with, a module a task."""
