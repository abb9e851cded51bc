"""What is measured of tasks that give a value for each pixel, a module each."""
