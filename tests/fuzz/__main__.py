"""Fuzzes the product; see `tests.fuzz`. Exit status 1 if there is a fault.

python -m tests.fuzz --seed=1 --images=20000 --labels=20000 --workers=2 --log=build/fuzz.json
python -m tests.fuzz --images=1 --first=4711                    # one case again, alone
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz import engine


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    for kind in engine.kinds():
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="CASES", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of all randomness; default: %(default)s")
    parser.add_argument("--first", type=int, default=0, help="index of the first case; default: %(default)s")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time; default: %(default)s")
    parser.add_argument("--log", type=Path, help="a file for the log as JSON")
    arguments = parser.parse_args()
    logs = []
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
        run = engine.Run(arguments.seed, arguments.workers, Path(folder), first=arguments.first)
        for kind in engine.kinds():
            count = getattr(arguments, kind)
            if not count:
                continue
            log = engine.run(kind, count, run)
            details = "".join(f"{fault.detail}\n" for fault in log.faults) if count == 1 else ""
            sys.stdout.write(f"{log}\n{details}")
            sys.stdout.flush()
            logs.append(log)
            if arguments.log:
                engine.write(logs, arguments.log)
    return int(any(log.faults for log in logs))


if __name__ == "__main__":
    sys.exit(main())
