"""Runs a program in a rehearsal: its TensorFlow takes the stand-in for TensorRT 8.6.1.

python -m tftrt_yolo.preflighting.rehearsal tftrt-yolo convert --saved_model_dir=... --output_saved_model_dir=...
python -m tftrt_yolo.preflighting.rehearsal saved_model_cli run --dir=...

It needs a GPU that TensorFlow sees. The engines are no engines: the stand-in computes them on the host.
"""

import sys

from tftrt_yolo.ground.errors import TftrtYoloError
from tftrt_yolo.preflighting.rehearsal import process


def main(command: list[str]) -> int:
    """Runs the command; gives its exit status, or 2 after saying why it was not run."""
    if not command or command[0] in {"-h", "--help"}:
        sys.stderr.write(__doc__)
        return 0 if command else 2
    try:
        return process.run(command)
    except TftrtYoloError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
