"""A picture of a recorded network: its layers folded into blocks, laid out, and drawn as SVG and HTML."""
