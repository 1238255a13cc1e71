"""How a field of the configuration appears on the command line."""

from steelyard.app.config.flag import Flag as CLIParameter
from steelyard.app.config.flag import Groups

__all__ = ["CLIParameter", "Groups"]
