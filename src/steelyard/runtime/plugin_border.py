"""The one border between our code and a plugin's: what a plugin raises becomes a named error."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from steelyard.kernel.errors import PluginError, SteelyardError


class PluginBorder:
    """Wraps every call into a plugin; counts what came back as an error, by plugin."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()

    @contextmanager
    def crossing(self, plugin: str, action: str) -> Iterator[None]:
        """Run the body as `plugin` doing `action`.

        Errors that are already stated for a person pass through. `SystemExit` is caught too: a
        plugin does not end our process.

        Raises:
            PluginError: the body raised; the original is its cause.
        """
        try:
            yield
        except SteelyardError:
            raise
        # The plugin border: the one broad except of Steelyard.
        except (Exception, SystemExit) as error:
            self.failures[plugin] += 1
            text = str(error).strip().partition("\n")[0]
            raise PluginError(
                f"Plugin {plugin} failed to {action}: {type(error).__name__}"
                + (f": {text}" if text else "")
            ) from error
