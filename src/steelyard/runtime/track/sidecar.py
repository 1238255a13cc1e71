"""Drives the mirrors of a run from one process: what they share is imported once, then it forks.

Each mirror has a child of its own, so that one backend's hanging calls, patches and crashes are
none of the others'.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.process import ChildEnd, fork_child, point_output_at

EXIT_DONE, EXIT_NOT_DONE = 0, 1


def in_children(
    works: Mapping[str, Callable[[], bool]],
    logs: Callable[[str], Path],
    ended: Callable[[str], None],
) -> dict[str, bool]:
    """Do each work in a child of this process; return which say that they are done.

    A child gets SIGTERM when this process dies.

    Args:
        works: by label.
        logs: returns the file for what the child of a label prints.
        ended: called with each label as its child ends.

    Raises:
        ProcessError: this process has threads, or can't fork.
    """
    children = {
        label: fork_child(f"mirror {label}", _main(work, logs(label)))
        for label, work in works.items()
    }
    done: dict[str, bool] = {}
    while len(done) < len(children):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        for label, child in children.items():
            if label in done or (status := child.status()) is None:
                continue
            done[label] = status.code == EXIT_DONE
            if status.code not in (EXIT_DONE, EXIT_NOT_DONE) or status.words:
                with logs(label).open("a") as log:
                    log.write(f"{status}\n")
            ended(label)
    return done


def _main(work: Callable[[], bool], log: Path) -> Callable[[ChildEnd], int]:
    def main(child: ChildEnd) -> int:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        point_output_at(fd)
        try:
            return EXIT_DONE if work() else EXIT_NOT_DONE
        except SteelyardError as error:
            child.last_words(str(error))
            return EXIT_NOT_DONE

    return main
