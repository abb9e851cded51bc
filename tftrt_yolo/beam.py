"""Apache Beam: a ModelHandler for RunInference on signature `encoded`."""
