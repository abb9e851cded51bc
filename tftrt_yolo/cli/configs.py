"""Files of recipes: `--config=configs/yolov8n_fp16.py`, whose sections hold the arguments of one command each."""

import os
import runpy
import sys


def load_config(path: str) -> dict:
    """Runs a config file's get_config(); the file may import others from its own folder.

    Args:
      path: A Python file.

    Returns:
      Name of each section to its keys and values.

    Raises:
      ValueError: If the file is missing, fails or has no get_config().
    """
    if not os.path.isfile(path):
        raise ValueError(f"--config={path} does not exist. Expected a Python file such as configs/yolov8n_fp16.py.")
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    try:
        return runpy.run_path(path)["get_config"]().to_dict()
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"--config={path} cannot be used ({type(error).__name__}: {error}). Expected a Python file whose "
            "get_config() returns an ml_collections.ConfigDict."
        ) from error
    finally:
        del sys.path[0]
