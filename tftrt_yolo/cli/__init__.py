"""The command line: `tftrt-yolo COMMAND --flag=value ...`."""
