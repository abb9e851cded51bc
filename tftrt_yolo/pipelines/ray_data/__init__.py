"""A job over many images on Ray Data: its listing, its shards, what runs on the nodes, and what is written."""
