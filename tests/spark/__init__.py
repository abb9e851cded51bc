"""The recipe for Spark on local[2], in an environment of its own: make test-spark."""
