"""Gesso: a Stable Diffusion web UI. From Python: `webui.Studio().txt2img("a red apple", seed=1)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webui.studio import Studio, StudioPicture

__all__ = ["Studio", "StudioPicture", "__version__"]


def __getattr__(name: str) -> object:
    """Looked up when first used: importing `webui` alone costs nothing."""
    if name in ("Studio", "StudioPicture"):
        from webui import studio

        return getattr(studio, name)
    if name == "__version__":
        from webui.base.version import VERSION

        return VERSION
    raise AttributeError(f"module 'webui' has no attribute {name!r}")
