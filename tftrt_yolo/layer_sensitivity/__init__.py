"""Which convolutions INT8 loses its accuracy in, each quantised alone and measured."""
