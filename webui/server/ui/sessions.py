"""Gradio's memory of browsers' sessions, without the copy of the whole page that it keeps for each.

The copy serves links to a page as somebody left it, which are not offered here; making it takes a fraction of a second,
in which the server answers nobody, and a megabyte.
"""

from __future__ import annotations

from copy import copy

from gradio import Blocks
from gradio.components import State
from gradio.state_holder import SessionState, StateHolder

MOST = 300
"""Sessions that are remembered; a page of an older one works on, with the choices of the server's start."""


class GradioSessions(StateHolder):  # type: ignore[misc]
    """What is remembered of each session: the components that have changed, and values of `gr.State`."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self.set_blocks(blocks)
        self.capacity = MOST

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = _Session(self.blocks)
        return super().__getitem__(session_id)


class _Session(SessionState):  # type: ignore[misc]
    def __init__(self, blocks: Blocks) -> None:
        self.blocks_config = copy(blocks.default_config)
        self.config_values: dict[int, object] = {}
        self.state_data: dict[int, object] = {}
        self._state_ttl: dict[int, object] = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = 3600

    def __setitem__(self, key: int, value: object) -> None:
        if isinstance(self.blocks_config.blocks.get(key), State):
            super().__setitem__(key, value)
            self.config_values.clear()
        else:
            self.blocks_config.blocks[key] = value

    def _update_config(self, key: int) -> None:
        """Nothing reads it."""

    def _update_value_in_config(self, key: int, value: object) -> None:
        """Nothing reads it."""
