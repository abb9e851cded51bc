"""`python -m tftrt_yolo` is `tftrt-yolo`."""

from tftrt_yolo.cli import run

run()
