"""`profile_export.json`: the summary that scripts read."""

import json
from pathlib import Path

from steelyard.domain.bench.document import summary_document
from steelyard.domain.bench.ports import RunView
from steelyard.runtime.files import write_atomic

FILE_NAME = "profile_export.json"


class JsonSummaryExporter:
    """Writes the summary as JSON, indented, with no NaN or infinity in it."""

    def export(self, view: RunView) -> list[str]:
        """Write the file; return its path.

        Raises:
            FileError: it can't be written.
        """
        path = Path(view.directory) / FILE_NAME
        text = json.dumps(
            summary_document(view.summary), indent=2, allow_nan=False, ensure_ascii=False
        )
        write_atomic(path, text.encode() + b"\n")
        return [str(path)]
