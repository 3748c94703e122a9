"""The lane beside the device: small work on the processor, done while a job is in work. The newest of a key wins."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from webui.base.errors import WebuiError
from webui.base.fence import Exited, fenced
from webui.base.priority import give_way
from webui.engine.memory import profile_of
from webui.engine.residents import Residents
from webui.entry_points import blamed, expected
from webui.registry import beside, resolved
from webui.request.engine_options import EngineOptions
from webui.request.jobs import AsidePlan
from webui.request.messages import Aside, AsideDone, AsideResult, Event

log = logging.getLogger(__name__)

NICENESS = 5
"""What a person waits for at the screen, beside what somebody waits for longer."""

BUDGET = 256 * 2**20
"""Bytes of the small networks that are held for the lane alone: a network serves one thread at a time."""


def carried_out(plan: AsidePlan, residents: Residents) -> AsideResult:
    """What the plan's kind makes of it. residents: the lane's own.

    Raises:
        UserError: it has nothing that can be done beside the device.
    """
    line = beside(plan.kind)
    made: AsideResult = resolved(line.aside_work)(plan, residents)
    return expected(made, AsideResult, line, "aside")


class AsideLane:
    """A slot for each key, and one thread. Nothing is shared with the work on the device, and nothing waits for it."""

    def __init__(
        self, emit: Callable[[Event], None], carry_out: Callable[[AsidePlan, Residents], AsideResult] = carried_out
    ) -> None:
        self.residents = Residents(profile_of(EngineOptions(device="cpu")), budget=BUDGET)
        self._emit = emit
        self._carry_out = carry_out
        self._slots: dict[str, Aside] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, command: Aside) -> None:
        """In the place of what its key still waits for, whose turn it keeps. Never waits."""
        with self._changed:
            if command.plan is None:
                self._slots.pop(command.key, None)
                return
            self._slots[command.key] = command
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="aside", daemon=True)
                self._thread.start()

    def _serve(self) -> None:
        give_way(NICENESS)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._slots))
                command = self._slots.pop(next(iter(self._slots)))
            if command.plan is not None:
                with fenced(partial(self._refuse, command)):
                    self._emit(AsideDone(command.key, command.number, self._carry_out(command.plan, self.residents)))

    def _refuse(self, command: Aside, error: Exception) -> None:
        """An error is an answer."""
        if isinstance(error, WebuiError) and not isinstance(error, Exited):
            told = error
        else:
            log.error("A preview failed.", exc_info=error)
            told = blamed(error) or WebuiError(
                f"{type(error).__name__}: {error}", hint="This is a bug in the program; see the log for details."
            )
        self._emit(AsideDone(command.key, command.number, code=told.code, message=told.message, hint=told.hint))
