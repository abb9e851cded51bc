"""Images and videos that come over a network, from a webcam or on standard input."""
