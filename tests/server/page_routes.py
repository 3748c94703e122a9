"""Prints what an anonymous caller gets at each route of the whole server, page and all: METHOD PATH STATUS.

A program of its own, since importing Gradio leaves things behind that other tests would be blamed for.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fastapi.testclient import TestClient

from tests.server.hostile import SECRET, hostile_names
from tests.server.routes import basic, paths
from tests.server.stand_in import StandIn
from webui import flags
from webui.app import App
from webui.server import serve
from webui.server.guard import Guard


def main(data: Path) -> None:
    chosen = flags.read(["--data-dir", str(data), "--gradio-auth", "anna:one"])
    app = App(chosen, StandIn())
    app.queue.start(preload=False)
    inner = serve.application(app)
    waiting = inner.router.routes[-1]
    serve._built_page(app, inner)
    inner.router.routes.remove(waiting)
    client = TestClient(Guard(inner, chosen, app.access), base_url="http://127.0.0.1", follow_redirects=False)
    for method, path in paths(list(inner.router.routes)):
        sys.stdout.write(f"{method} {path} {client.request(method, path).status_code}\n")
    (app.paths.state / "secret.key").write_text(SECRET)
    secrets = ("/etc/passwd", str(app.paths.state / "secret.key"), str(app.paths.database))
    tricks = hostile_names(app.paths.state / "secret.key")
    for path in ("/config", *(f"/gradio_api/file={secret}" for secret in (*secrets, *tricks))):
        answer = client.get(path, headers=basic("anna", "one"))
        leaked = SECRET.encode() in answer.content
        sys.stdout.write(f"ANNA {path} {'LEAKED' if leaked else answer.status_code}\n")
    app.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
