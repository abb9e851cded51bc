"""Ray itself, which is an extra.

ray = library.load()
"""

import os

from tftrt_yolo.ground.errors import BatchError
from tftrt_yolo.ground.text import first_line

# Read when Ray is imported or started: it sends nothing home, and hides no GPU from what asks for none of it.
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def load():
    """Imports Ray, with Ray Data.

    Returns:
      The module.

    Raises:
      BatchError: If it is missing; the message says how to install it.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import pyarrow.parquet  # noqa: F401 - Ray Data imports it late
        import ray
        import ray.data
    except ImportError as error:
        raise BatchError(
            f"Jobs run on Ray Data, which cannot be imported ({first_line(error)}). Expected the extra ray; "
            "pip install 'tftrt_yolo[ray]'."
        ) from error
    return ray
