"""What an engine process runs first: takes its end of the pipe, hears its options, becomes the engine.

Started as `python -m webui.server.jobs.engine_child HANDLE` instead of through `multiprocessing`, which would run the
user's own script once more: `webui.Studio()` in a notebook or a script without a `__main__` guard just works.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

from webui.registry import resolved

ENGINE = "webui.engine.worker:main"


def main(handle: int) -> None:
    """Serve commands that come through the pipe with this handle until it closes."""
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection

        connection = PipeConnection(handle)
    else:
        connection = Connection(handle)
    options = connection.recv()
    resolved(ENGINE)(connection, options)


if __name__ == "__main__":
    main(int(sys.argv[1]))
