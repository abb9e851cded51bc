"""How results look on pictures: boxes, labels, skeletons, and the letters that they are written in."""
