"""Files and directories of every kind: output that appears whole, reports as JSON, images."""
