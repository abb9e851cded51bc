"""`python -m tftrt_yolo` is `tftrt-yolo`; use the latter, or `python -P -m` (3.11), in a folder that is not trusted.

Python itself puts the working directory first into the search path, and imports a few modules of its own after that. So
the folder is taken out again, before more is imported, unless it is where this package lives.
"""

import os
import sys

if sys.path[0] == os.getcwd() != os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
    del sys.path[0]

from tftrt_yolo.cli.entry import run

run()
