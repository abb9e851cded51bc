"""Several devices of one machine: a process on each, files divided between them, and their results in order again."""
