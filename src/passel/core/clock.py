"""Time is a parameter: this names its type. The real clock lives in `passel.compose.clock`."""

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]
