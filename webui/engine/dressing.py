"""Which networks' tags hold for a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from webui.prompt.networks import NetworkTag


def with_added(tags: Sequence[NetworkTag], added: Sequence[NetworkTag]) -> tuple[NetworkTag, ...]:
    """The tags of a prompt, and those that the settings add where the prompt has none for the same file."""
    named = {(tag.kind, tag.name) for tag in tags}
    return (*tags, *(tag for tag in added if (tag.kind, tag.name) not in named))
