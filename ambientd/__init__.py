"""ambientd: endless ambient music from models trained on albums."""

__version__ = "0.1.0"
