"""Search, rank, answer and keep documents over HTTP: one loaded model behind several clients' shapes."""

from .app import create_app
from .listening import listen
from .routes.tools import speak, tools
from .settings import About, Access, Limits, ServerSettings, Vectors
from .sharing import SharedLanguageModel, check_stopped
from .telemetry import Telemetry, log_lines

__all__ = [
    "About",
    "Access",
    "Limits",
    "ServerSettings",
    "SharedLanguageModel",
    "Telemetry",
    "Vectors",
    "check_stopped",
    "create_app",
    "listen",
    "log_lines",
    "speak",
    "tools",
]
