"""Files of recipes: `--config=configs/yolov8n_fp16.py`, whose sections hold the arguments of one command each."""

import os
import runpy
import sys

from tftrt_yolo.ground.text import first_line, quoted


def load_config(path: str) -> dict:
    """Runs a config file's get_config(); the file is the user's own, and may import others from its own folder.

    Args:
      path: A Python file.

    Returns:
      Name of each section to its keys and values.

    Raises:
      ValueError: If the file is missing, fails or has no get_config().
    """
    if not os.path.isfile(path):
        raise ValueError(f"--config={path} does not exist. Expected a Python file such as configs/yolov8n_fp16.py.")
    folder = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, folder)
    try:
        config = runpy.run_path(path)["get_config"]().to_dict()
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"--config={path} cannot be used ({type(error).__name__}: {first_line(error)}). Expected a Python file "
            "whose get_config() returns an ml_collections.ConfigDict."
        ) from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    for name, section in config.items() if isinstance(config, dict) else [("to_dict()", config)]:
        if not isinstance(section, dict) or not all(isinstance(key, str) for key in section):
            raise ValueError(
                f"--config={path} has the section {quoted(name)}, which is {quoted(section)}. Expected a section for "
                "each command, with the command's flags as its keys."
            )
    return config
