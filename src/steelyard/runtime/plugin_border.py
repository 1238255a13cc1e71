"""The one border between our code and a plugin's: what a plugin raises becomes a named error."""

from collections import Counter
from types import TracebackType

from steelyard.kernel.errors import PluginError, SteelyardError


class Crossing:
    """A `with` block in a plugin's code. It has no state: one serves any number of blocks."""

    __slots__ = ("_action", "_failures", "_plugin")

    def __init__(self, failures: Counter[str], plugin: str, action: str) -> None:
        self._failures = failures
        self._plugin = plugin
        self._action = action

    def __enter__(self) -> None:
        """Go over."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Come back: the one place where any exception of a plugin is taken, whatever it is."""
        if isinstance(error, SteelyardError) or not isinstance(error, Exception | SystemExit):
            return
        self._failures[self._plugin] += 1
        text = str(error).strip().partition("\n")[0]
        raise PluginError(
            f"Plugin {self._plugin} failed to {self._action}: {type(error).__name__}"
            + (f": {text}" if text else "")
        ) from error


class PluginBorder:
    """Wraps every call into a plugin; counts what came back as an error, by plugin."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()

    def crossing(self, plugin: str, action: str) -> Crossing:
        """Return what runs a `with` block as `plugin` doing `action`.

        Errors that are already stated for a person pass through, and so do those that end a
        process, but for `SystemExit`: a plugin does not end our process.

        Raises:
            PluginError: by the block, when its body raised; the original is its cause.
        """
        return Crossing(self.failures, plugin, action)
