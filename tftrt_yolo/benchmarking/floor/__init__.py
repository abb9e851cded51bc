"""The least time that a network can take here: what it costs, counted, over what the machine reaches, measured."""
