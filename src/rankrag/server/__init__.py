"""Search, rank, answer and keep documents over HTTP: one loaded model behind several clients' shapes."""

from .app import create_app
from .settings import About, Access, Limits, Settings
from .sharing import SharedLanguageModel
from .telemetry import Telemetry, log_lines
from .tools import tools

__all__ = [
    "About",
    "Access",
    "Limits",
    "Settings",
    "SharedLanguageModel",
    "Telemetry",
    "create_app",
    "log_lines",
    "tools",
]
