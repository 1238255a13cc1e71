"""Reads a service's settings from the environment."""

import os
from collections.abc import Mapping
from pathlib import Path

from steelyard.dialects.aiperf.common.config.service_config import ServiceConfig
from steelyard.dialects.aiperf.common.enums import ServiceRunType
from steelyard.kernel.errors import UsageError
from steelyard.runtime import bootstrap

__all__ = ["load_service_config"]


def load_service_config(environ: Mapping[str, str] | None = None) -> ServiceConfig:
    """Return settings with what `STEELYARD_*` says in `environ` (the process's own when None).

    `STEELYARD_RUN_TYPE` is `process`, `inline`, `ray` or `k8s`; the others are those of
    `steelyard.runtime.bootstrap.ServiceConfig.from_environ`.

    Raises:
        UsageError: the run type is none of them.
    """
    given = os.environ if environ is None else environ
    core = bootstrap.ServiceConfig.from_environ(given)
    stated = given.get("STEELYARD_RUN_TYPE", ServiceRunType.MULTIPROCESSING.value)
    try:
        run_type = ServiceRunType(stated)
    except ValueError:
        raise UsageError(
            "The variable STEELYARD_RUN_TYPE can't be used",
            got=stated,
            expected="one of " + ", ".join(ServiceRunType),
        ) from None
    return ServiceConfig(
        service_run_type=run_type,
        log_level=core.log_level,
        artifact_dir=Path(core.artifact_dir) if core.artifact_dir else None,
        broker=core.broker,
        controller_id=core.controller_id,
        bus_keys=core.keys,
    )
