"""Has TF-TRT give its networks to the stand-in, which writes them down: two processes, and what leads them."""
