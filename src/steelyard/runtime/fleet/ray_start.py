"""`ray start --block`, ended when the process that began it is gone."""

import os
import signal
import sys
import threading

_CHUNK = 1 << 12


def _end_with_input() -> None:
    """Wait for the end of standard input: nobody writes there, it ends with its writer."""
    while os.read(0, _CHUNK):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def main(argv: list[str]) -> None:
    """Be Ray's command with these arguments. Never returns."""
    from ray.scripts.scripts import main as ray_main

    threading.Thread(target=_end_with_input, name="end-with-input", daemon=True).start()
    sys.argv = ["ray", *argv]
    ray_main()


if __name__ == "__main__":
    main(sys.argv[1:])
