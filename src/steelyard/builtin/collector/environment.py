"""What the script runs in: Python, system, machine, packages, and chosen variables."""

import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from steelyard.domain.track.ports import Noted
from steelyard.kernel.secrets import is_secret
from steelyard.runtime.host_facts import host_facts

VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "CUBLAS_WORKSPACE_CONFIG",
    "HIP_VISIBLE_DEVICES", "JAX_PLATFORMS", "KMP_AFFINITY", "LANG", "LOCAL_RANK", "MKL_NUM_THREADS",
    "NCCL_DEBUG", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED", "PYTORCH_CUDA_ALLOC_CONF", "RANK", "TF_DETERMINISTIC_OPS",
    "TOKENIZERS_PARALLELISM", "WORLD_SIZE", "XLA_FLAGS",
)  # fmt: skip
"""The variables that are told where they are set. None of them is where a secret belongs."""

TEXT_MAX = 500
_HEADER = re.compile(r"^(Name|Version):[ \t]*(\S+)", re.MULTILINE)


class EnvironmentCollector:
    """Facts as parameters; installed packages as an artifact, `packages.txt`.

    Args:
        packages: keep the list of installed packages.
        variables: names of environment variables to tell besides `VARIABLES`; one that looks like
            a secret is not told all the same.
        root: where `sys` lies.
    """

    def __init__(
        self, *, packages: bool = True, variables: Iterable[str] = (), root: str = "/"
    ) -> None:
        self._packages = packages
        self._variables = tuple(variables)
        self._root = Path(root)

    def facts(self) -> Noted:
        """Return what the script runs in."""
        host = host_facts()
        found: dict[str, Any] = {
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "os": host["kernel"],
            "machine": host["machine"],
            "cpu_model": host["cpu_model"],
            "cpus": host["cpu_count"],
            "cpus_usable": host["cpu_usable"],
            "memory_bytes": host["memory_bytes"],
            **self._limits(),
            "virtual_environment": sys.prefix != sys.base_prefix,
        }
        variables = told_variables(os.environ, (*VARIABLES, *self._variables))
        if variables:
            found["variables"] = variables
        artifacts = {}
        if self._packages:
            lines = installed()
            found["packages"] = len(lines)
            artifacts["packages.txt"] = "".join(f"{line}\n" for line in lines).encode()
        return Noted({k: v for k, v in found.items() if v not in (None, "")}, artifacts=artifacts)

    def _limits(self) -> dict[str, Any]:
        """Return what the control group allows, where it is less than all."""
        group = self._root / "sys/fs/cgroup"
        found: dict[str, Any] = {}
        quota, _, period = _text_of(group / "cpu.max").strip().partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            found["cpu_limit"] = int(quota) / int(period)
        memory = _text_of(group / "memory.max").strip()
        if memory.isdecimal():
            found["memory_limit_bytes"] = int(memory)
        return found


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def installed() -> list[str]:
    """Return the installed packages as `name==version`, by name."""
    found: dict[str, str] = {}
    for distribution in distributions():
        # The library's own parser reads the whole description, which takes five times as long.
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        facts = dict(_HEADER.findall(text.partition("\n\n")[0]))
        name = facts.get("Name", "")
        if name and name.lower() not in found:  # the first on the path is the one imported
            found[name.lower()] = f"{name}=={facts.get('Version', '')}"
    return [found[name] for name in sorted(found)]


def told_variables(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return the variables of these names that are set and look like no secret."""
    return {
        name: environ[name][:TEXT_MAX]
        for name in names
        if name in environ and not is_secret(name, environ[name])
    }
