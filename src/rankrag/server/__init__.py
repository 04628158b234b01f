"""Search, rank, answer and keep documents over HTTP: one loaded model behind several clients' shapes."""

from .app import create_app
from .listening import listen
from .routes.tools import speak, tools
from .settings import About, Access, Limits, Settings, Vectors
from .sharing import SharedLanguageModel
from .telemetry import Telemetry, log_lines

__all__ = [
    "About",
    "Access",
    "Limits",
    "Settings",
    "SharedLanguageModel",
    "Telemetry",
    "Vectors",
    "create_app",
    "listen",
    "log_lines",
    "speak",
    "tools",
]
