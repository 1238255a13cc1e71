"""The role that a person starts: it orchestrates the others."""

from steelyard.app.run_controller import RunController as SystemController

__all__ = ["SystemController"]
