"""`python -m tftrt_yolo` is `tftrt-yolo`."""

from tftrt_yolo.cli.command_line import run

run()
