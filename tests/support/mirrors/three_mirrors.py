"""A plugin directory's backends: a fast one, one that takes 50 points in 0.1 s, and a dead one.

Each writes the step of every value that it took into a file `RUN-NAME` in `MIRRORS_DIRECTORY`.
Where that directory has a file `recovered`, the slow and the dead one are as fast as any.
"""

import os
import time
from pathlib import Path
from typing import ClassVar

from steelyard.domain.track.ports import Delivery


class Fast:
    """Takes all at once."""

    plugin: ClassVar = {"kind": "backend", "name": "fast"}

    def open(self, run):
        """Begin a run's file."""
        directory = Path(os.environ["MIRRORS_DIRECTORY"])
        self.recovered = (directory / "recovered").exists()
        self.file = (directory / f"{run.run_id}-{self.plugin['name']}").open("a")
        return run.run_id

    def log(self, items):
        """Keep the steps."""
        self.file.writelines(f"{item.step}\n" for item in items)
        self.file.flush()
        return Delivery(len(items))

    def flush(self):
        """All is written."""

    def close(self, end):
        """Let go of the file."""
        self.file.close()


class Slow(Fast):
    """Takes its time, and little of what it is given."""

    plugin: ClassVar = {"kind": "backend", "name": "slow"}

    def log(self, items):
        """Keep 50 steps."""
        if not self.recovered:
            time.sleep(0.1)
            items = items[:50]
        return super().log(items)


class Dead(Fast):
    """Refuses every connection."""

    plugin: ClassVar = {"kind": "backend", "name": "dead"}

    def log(self, items):
        """Keep nothing."""
        if not self.recovered:
            raise ConnectionError("refused")
        return super().log(items)
