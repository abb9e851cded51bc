"""What a TensorRT says while it works: warnings for the report, errors for a refusal."""

from types import ModuleType

from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.text import printable

_MOST_LENGTH = 600  # characters of one message
# Without a GPU every error is followed by one about the driver, which is not what was asked.
_NOISE = ("CUDA driver version is insufficient", "CUDA initialization failure", "no CUDA-capable device")


class Words:
    """Messages of one builder.

    Attributes:
      speaker: Whose they are.
      logger: What the builder is given.
      errors: Errors, in their order, without repeats; those about a GPU that is missing only if there is nothing else.
      warnings: Warnings, likewise.
    """

    def __init__(self, trt: ModuleType, speaker: str):
        """Prepares a logger.

        Args:
          trt: The TensorRT module.
          speaker: Its name and version, for messages.
        """
        self.speaker = speaker
        self._errors, self._warnings = {}, {}  # their keys; a dictionary keeps the order
        to = {
            trt.ILogger.Severity.INTERNAL_ERROR: self._errors,
            trt.ILogger.Severity.ERROR: self._errors,
            trt.ILogger.Severity.WARNING: self._warnings,
        }

        class Logger(trt.ILogger):
            def __init__(self):
                trt.ILogger.__init__(self)

            def log(self, severity: object, message: str) -> None:
                if severity in to:
                    to[severity][_shortened(message)] = None

        self.logger = Logger()

    @property
    def errors(self) -> tuple[str, ...]:
        """What it says against the network."""
        said = tuple(self._errors)
        return tuple(words for words in said if not any(noise in words for noise in _NOISE)) or said

    @property
    def warnings(self) -> tuple[str, ...]:
        """What it warns of."""
        return tuple(self._warnings)

    def forget(self) -> None:
        """Begins anew, for the next network."""
        self._errors.clear()
        self._warnings.clear()

    def check(self, what: str, remedy: str, *, fails: bool = False) -> None:
        """Ends the work where TensorRT has said that something is wrong.

        Args:
          what: What it was given last.
          remedy: What to do.
          fails: Whether it refuses it without a word.

        Raises:
          PreflightError: If it has, or fails is true; with its own words.
        """
        if self.errors or fails:
            said = "; ".join(words.rstrip(".") for words in self.errors) or "it says nothing"
            raise PreflightError(f"{self.speaker} refuses {what}: {said}. {remedy}")


def _shortened(message: str) -> str:
    """A message as a report may show it: its middle cut, and layers' names in it escaped."""
    line = printable(" ".join(message.split()))
    half = _MOST_LENGTH // 2
    return line if len(line) <= _MOST_LENGTH else f"{line[:half]} ... {line[-half:]}"
