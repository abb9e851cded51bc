"""What a model's process is told to load."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Job:
    """A model, and how it is served.

    Attributes:
      saved_model_dir: Where it lies, absolute.
      strict: As `ModelOptions`.
      allow_side_effects: As `ModelOptions`.
      max_batch_size: As `BatchingOptions`.
      max_pixels: As `ListenOptions`.
    """

    saved_model_dir: str
    strict: bool
    allow_side_effects: bool
    max_batch_size: int
    max_pixels: int
