"""`steelyard report`: every output of a run again, from its journal alone."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

_HELP = """Rebuild a run's outputs from its journal, also of a run that was killed.

DIR is the artifact directory of the run: the one with journal/ in it. The exit code is that of the
run: 1 when its verdict is one that the plan fails on.

Examples:

  steelyard report artifacts/20261122-045412-9f3a1c

  steelyard report DIR --json | jq .verdict

  steelyard report DIR --export parquet,csv
"""

app = App(name="report", help=_HELP, help_format="plaintext")


@app.default
def report(
    directory: Annotated[Path, Parameter(name="DIR")],
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    export: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> int:
    """Rebuild a run's outputs.

    Args:
        directory: The artifact directory of the run.
        as_json: Print only the summary, as JSON, on standard output.
        export: Exporters to run, separated by commas, instead of the plan's own.
    """
    from steelyard.app.composition import standard_host
    from steelyard.app.report import plugin_dirs_of, rebuild
    from steelyard.app.signals import ReportGivenUpError, term_as_interrupt
    from steelyard.cli.result_page import doing_line, print_result, report_failures
    from steelyard.domain.bench.document import summary_document

    names = [name for word in export for name in word.split(",") if name]
    host = standard_host(plugin_dirs_of(directory))
    try:
        with term_as_interrupt() as check, doing_line() as tell:
            rebuilt = rebuild(directory, host, names or None, tell, check=check)
    except KeyboardInterrupt:
        raise ReportGivenUpError(str(directory)) from None
    if as_json:
        document = summary_document(rebuilt.summary)
        print(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print_result(rebuilt.summary, str(directory), host)
    return report_failures(rebuilt.failures, str(directory), host, rebuilt.exit_code)
