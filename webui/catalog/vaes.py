"""VAE files: what turns latents into pictures, where a checkpoint's own is not wanted."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from webui.base.errors import NotFound, did_you_mean
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.checkpoints import VAES_BESIDE
from webui.catalog.files import natural_key, stamp_of
from webui.catalog.folders import Folders, SearchFolder
from webui.catalog.hashes import Hashes, Stamp
from webui.catalog.problems import Problems
from webui.request.plan import CheckpointRef

log = logging.getLogger(__name__)

AUTOMATIC, NONE = "Automatic", "None"
ENDINGS = (".safetensors", ".ckpt", ".pt")


@dataclass(frozen=True)
class Vae:
    """A VAE file, known by its file name."""

    path: Path
    stamp: Stamp

    @property
    def name(self) -> str:
        return named(self.path.name)


class Vaes:
    """The VAE files of an installation: in `models/VAE`, `--vae-dir`, and as `*.vae.*` beside checkpoints."""

    def __init__(self, paths: Paths, hashes: Hashes, folders: Folders | None = None) -> None:
        self._paths = paths
        self._hashes = hashes
        self._folders = folders or Folders(hashes, Problems())
        self._lock = threading.Lock()
        self._known: dict[str, Vae] | None = None

    def scan(self) -> dict[str, Vae]:
        """File name -> VAE, in natural order, as it was at the last look."""
        with self._lock:
            known = self._known
        return known if known is not None else self.refresh()

    def refresh(self) -> dict[str, Vae]:
        """Refresh the list."""
        found: dict[str, Vae] = {}
        for _, file in self._folders.look("VAE", self._places()):
            found.setdefault(named(file.path.name), Vae(file.path, file.stamp))
        found = dict(sorted(found.items(), key=lambda item: natural_key(item[0])))
        with self._lock:
            self._known = found
        return found

    def _places(self) -> Iterable[SearchFolder]:
        for folder in (self._paths.vaes, *self._paths.vae_dirs):
            yield SearchFolder(folder, ENDINGS)
        yield SearchFolder(self._paths.checkpoints, VAES_BESIDE)
        yield SearchFolder(self._paths.models, VAES_BESIDE, deep=False)
        for folder in (*self._paths.checkpoint_dirs, *self._folders.brought("Stable-diffusion")):
            yield SearchFolder(folder, VAES_BESIDE)

    def names(self) -> list[str]:
        """What the dropdown offers."""
        return [AUTOMATIC, NONE, *self.scan()]

    def resolve(self, setting: str, checkpoint: CheckpointRef, *, overrides: bool = True) -> CheckpointRef | None:
        """The VAE to use with a checkpoint, or None for its own.

        A1111: what is chosen, a VAE by name or None, wins when it `overrides`; then comes what the checkpoint's card
        says, a VAE or None, then the one named like the checkpoint, then what is chosen.

        Raises:
            NotFound: the chosen one does not exist.
        """
        chosen = self._chosen(setting) if setting not in ("", AUTOMATIC, NONE) else None
        automatic = setting in ("", AUTOMATIC)
        if overrides and not automatic:
            return self._ref(chosen) if chosen else None
        said = self._said_of(checkpoint)
        if said == NONE:
            return None
        found = self.scan().get(said) or self._named_like(checkpoint.name) or chosen
        return self._ref(found) if found else None

    def check(self, setting: str) -> None:
        """
        Raises:
            NotFound: the setting names a VAE that does not exist.
        """
        if setting not in ("", AUTOMATIC, NONE):
            self._chosen(setting)

    def _chosen(self, name: str) -> Vae:
        known = self.scan()
        folded = {known_name.casefold(): vae for known_name, vae in known.items()}
        stems = {known_name.rsplit(".", 1)[0].casefold(): vae for known_name, vae in known.items()}
        found = known.get(name) or folded.get(name.casefold()) or stems.get(name.casefold())
        if found is None:
            raise NotFound(f"There is no VAE {name!r}.", hint=did_you_mean(name, self.names()), field="sd_vae")
        return found

    def _said_of(self, checkpoint: CheckpointRef) -> str:
        """A1111: the json file that its model cards write beside a checkpoint may name a VAE, or None for its own; ""
        where it says nothing."""
        card = Path(checkpoint.path).with_suffix(".json")
        try:
            content = json.loads(card.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, RecursionError) as error:
            log.warning("The card %s is left out: %s", card, error)
            return ""
        name = content.get("vae") if isinstance(content, dict) else None
        return name if isinstance(name, str) else ""

    def _named_like(self, stem: str) -> Vae | None:
        """`model.vae.pt` or `model-new.vae.pt` for `model`; but not `models.vae.pt`, nor what only begins the same."""
        near = [name for name in self.scan() if name.startswith(stem) and not name[len(stem)].isalnum()]
        name = min(near, key=lambda name: (not name.startswith((f"{stem}.vae.", f"{stem}.")), len(name)), default="")
        return self.scan()[name] if name else None

    def _ref(self, vae: Vae) -> CheckpointRef:
        try:
            stamp = stamp_of(vae.path)
        except OSError as error:
            raise NotFound(
                f"The VAE {vae.path} is gone: {error.strerror or error}.",
                hint="Press the refresh button.",
                field="sd_vae",
            ) from error
        return CheckpointRef(
            path=str(vae.path),
            title=vae.name,
            name=named(vae.path.stem),
            sha256=self._hashes.cached(vae.path, stamp) or "",
            stamp=stamp,
        )
