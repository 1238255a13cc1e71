"""The composition root: the one place where the parts of a standard Steelyard are put together."""

import os
from collections.abc import Mapping
from functools import lru_cache

from steelyard.runtime.plugin_host import PluginHost

PLUGIN_DIRS_VARIABLE = "STEELYARD_PLUGIN_DIRS"


def plugin_dirs(environ: Mapping[str, str], configured: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the plugin directories to search: the configured ones, then the environment's.

    The variable `STEELYARD_PLUGIN_DIRS` holds directories separated as in `PATH`.
    """
    stated = environ.get(PLUGIN_DIRS_VARIABLE, "").split(os.pathsep)
    return tuple(dict.fromkeys([*configured, *(d for d in stated if d)]))


def standard_host(configured: tuple[str, ...] = ()) -> PluginHost:
    """Return this process's plugin host: our batteries, installed packages, plugin directories.

    The same host for the same directories, so that a plugin is loaded once.
    """
    return _host(plugin_dirs(os.environ, configured))


@lru_cache(maxsize=8)
def _host(directories: tuple[str, ...]) -> PluginHost:
    return PluginHost.standard(directories)
