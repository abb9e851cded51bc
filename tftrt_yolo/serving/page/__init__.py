"""A page to try models on: drop pictures or a video, move sliders, see what is found. Extra `demo`."""
