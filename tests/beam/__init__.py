"""RunInference on a DirectRunner, in an environment of its own: make test-beam."""
