"""Where things lie on disk: made once from the flags, passed to whoever needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2]
"""The folder of the checkout: what ships with the program lies below it."""
PACKAGES = PROGRAM / "models" / ".packages"
"""Weights out of packages (`catalog/packaged.py`); they belong to the program's environment, whatever `data` is."""


@dataclass(frozen=True)
class Paths:
    """Folders and files that the program reads and writes. `data` is the root of everything a user owns.

    The layout below `data` is A1111's, so that `--data-dir` of an existing installation just works.
    """

    data: Path = PROGRAM
    models_dir: Path | None = None
    checkpoint_dirs: tuple[Path, ...] = ()
    """More folders with checkpoints (`--ckpt-dir`), besides `models/Stable-diffusion`."""
    vae_dirs: tuple[Path, ...] = ()
    lora_dirs: tuple[Path, ...] = ()
    control_dirs: tuple[Path, ...] = ()
    restorer_dirs: tuple[Path, ...] = ()
    """Of networks that restore faces."""
    embeddings_dir: Path | None = None
    localizations_dir: Path | None = None
    styles_files: tuple[Path, ...] = ()
    settings_path: Path | None = None
    ui_config_path: Path | None = None
    packages: Path = PACKAGES

    @property
    def models(self) -> Path:
        """The folder with one subfolder a kind of model."""
        return self.models_dir or self.data / "models"

    @property
    def checkpoints(self) -> Path:
        return self.models / "Stable-diffusion"

    @property
    def new_checkpoints(self) -> Path:
        """Where merged ones go: A1111's `--ckpt-dir`, where there is one."""
        return self.checkpoint_dirs[0] if self.checkpoint_dirs else self.checkpoints

    @property
    def vaes(self) -> Path:
        return self.models / "VAE"

    @property
    def loras(self) -> Path:
        return self.models / "Lora"

    @property
    def embeddings(self) -> tuple[Path, ...]:
        """Folders with textual inversion embeddings: A1111's `embeddings/` and `models/embeddings`."""
        return (self.embeddings_dir or self.data / "embeddings", self.models / "embeddings")

    @property
    def hypernetworks(self) -> Path:
        return self.models / "hypernetworks"

    @property
    def wildcards(self) -> tuple[Path, ...]:
        """Folders with the lists of dynamic prompts: ours, and those of A1111's extensions."""
        return (self.models / "wildcards", *sorted((self.data / "extensions").glob("*/wildcards")))

    @property
    def tag_lists(self) -> tuple[Path, ...]:
        """Folders with lists of tags: ours, and that of A1111's extension for completion."""
        return (self.models / "tags", *sorted((self.data / "extensions").glob("*tag*complete*/tags")))

    @property
    def block_presets(self) -> tuple[Path, ...]:
        """Files with lists of LoRAs' weights by block: ours, and those of A1111's extension."""
        return (
            self.loras / "lbwpresets.txt",
            self.data / "lbwpresets.txt",
            *sorted((self.data / "extensions").glob("*/scripts/lbwpresets.txt")),
        )

    @property
    def outputs(self) -> Path:
        return self.data / "outputs"

    @property
    def state(self) -> Path:
        """The program's own memory: database, uploads, logs."""
        return self.data / "config"

    @property
    def unsaved(self) -> Path:
        """Pictures that are shown and not saved."""
        return self.state / "unsaved"

    @property
    def jobs(self) -> Path:
        """What jobs keep until they end, each in a folder of its own."""
        return self.state / "jobs"

    def is_private(self, path: Path) -> bool:
        """Whether a file or folder, links followed, lies in the program's own memory: whatever folder somebody names,
        nothing in there is read for them or written."""
        try:
            real, state = path.resolve(), self.state.resolve()
        except (OSError, RuntimeError, ValueError):
            return True
        return real.is_relative_to(state) and not real.is_relative_to(self.unsaved.resolve())

    @property
    def database(self) -> Path:
        return self.state / "gesso.sqlite3"

    @property
    def page_files(self) -> Path:
        """What the page keeps for a day or two: pictures that were dropped into it."""
        return self.state / "gradio"

    @property
    def brought(self) -> Path:
        """Which folders of other programs are used for models (`catalog/brought.py`)."""
        return self.state / "folders.json"

    @property
    def accounts(self) -> Path:
        """Who may enter."""
        return self.state / "accounts.json"

    @property
    def uploads(self) -> Path:
        """Pictures that requests refer to, by the hash of their bytes."""
        return self.state / "uploads"

    @property
    def settings(self) -> Path:
        return self.settings_path or self.data / "config.json"

    @property
    def ui_config(self) -> Path:
        return self.ui_config_path or self.data / "ui-config.json"

    @property
    def user_sheet(self) -> Path:
        """A stylesheet of the person's own; few have one."""
        return self.data / "user.css"

    @property
    def themes(self) -> Path:
        """Themes of the page: files as Gradio writes them."""
        return self.data / "themes"

    @property
    def localizations(self) -> Path:
        """Languages of the page that people put there: files as A1111 has them."""
        return self.localizations_dir or self.data / "localizations"

    @property
    def styles(self) -> tuple[Path, ...]:
        return self.styles_files or (self.data / "styles.csv",)
