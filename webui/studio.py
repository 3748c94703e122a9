"""Making pictures from Python, without a server: for scripts and notebooks."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from PIL import Image

from webui.base import version
from webui.base.errors import EngineCrashed, NotFound, UserError, WebuiError
from webui.catalog.catalog import Catalog
from webui.catalog.image_files import picture_of
from webui.catalog.settings_store import SettingsStore
from webui.flags import Flags, read
from webui.request.fields import Generation, Img2Img, Txt2Img
from webui.request.messages import Failed, Finished, Interrupt, Pictured, Progress, Ready, Run
from webui.request.params import by_name
from webui.request.plan import LARGEST_RANDOM_SEED, Plan, resolve
from webui.request.settings import Settings
from webui.server.jobs.engine_client import EngineState, Heard, LocalEngine, Lost

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudioPicture:
    """A picture that was made. `infotext` says how, in A1111's format."""

    image: Image.Image
    infotext: str
    seed: int

    def save(self, path: str | Path) -> None:
        """Write the picture, with its infotext in it."""
        from webui.catalog.image_files import as_format, encode

        target = Path(path)
        kind = as_format(target.suffix[1:] or "png")
        target.write_bytes(encode(self.image, kind, self.infotext, quality=90).content)

    def _repr_png_(self) -> bytes:
        """How a notebook shows it."""
        buffer = BytesIO()
        self.image.save(buffer, "PNG")
        return buffer.getvalue()


class Studio:
    """An engine of one's own. Best used in a `with` block, which ends it.

        with webui.Studio() as studio:
            studio.txt2img("a red apple", seed=1)[0].save("apple.png")

    `flags` are those of the command line, such as `"--use-cpu all --data-dir /models"`. Nothing is written but where
    it is asked for.
    """

    def __init__(self, flags: str | Sequence[str] | Flags = ()) -> None:
        if isinstance(flags, str):
            import shlex

            flags = shlex.split(flags)
        self.flags = flags if isinstance(flags, Flags) else read(flags)
        self._catalog = Catalog(self.flags.paths)
        self.settings = SettingsStore(self.flags.paths)
        self._heard: SimpleQueue[Heard] = SimpleQueue()
        self._engine = LocalEngine(self.flags.engine)
        self._engine.start(self._heard.put)
        self._ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the engine."""
        self._engine.close()
        self._catalog.close()

    def txt2img(
        self, prompt: str = "", *, progress: Callable[[float], None] | None = None, **parameters: object
    ) -> list[StudioPicture]:
        """Pictures out of text; `parameters` are the fields of `webui.request.fields.Txt2Img`.

        Raises:
            WebuiError: a parameter does not fit, or the pictures cannot be made.
        """
        parameters = self._native_size(parameters) | _complete(parameters)
        return self._made(Txt2Img.made(**({"prompt": prompt} | parameters)), progress)

    def img2img(
        self,
        image: Image.Image | bytes | str | Path,
        prompt: str = "",
        *,
        mask: Image.Image | bytes | str | Path | None = None,
        progress: Callable[[float], None] | None = None,
        **parameters: object,
    ) -> list[StudioPicture]:
        """Pictures out of a picture, and text; `parameters` are the fields of `webui.request.fields.Img2Img`.

        Raises:
            WebuiError: as `txt2img`.
        """
        names = {"init_images": (self._put(image),), **({"mask": self._put(mask)} if mask is not None else {})}
        parameters = self._native_size(parameters) | _complete(parameters)
        return self._made(Img2Img.made(**({"prompt": prompt} | names | parameters)), progress)

    @property
    def checkpoints(self) -> list[str]:
        """Titles of the checkpoints that there are."""
        return self._catalog.checkpoints.titles()

    def _native_size(self, parameters: dict[str, object]) -> dict[str, object]:
        """Width and height that the checkpoint was trained at, where it says so and the caller says nothing."""
        if parameters.keys() & {"width", "height"}:
            return {}
        overrides = by_name(parameters.get("override_settings"))
        asked = overrides.get("sd_model_checkpoint", self.settings.current.render.sd_model_checkpoint)
        try:
            size = self._catalog.checkpoints.find(str(asked)).native_size
        except NotFound:
            return {}  # What is used instead, or that it is missing, is said by the plan.
        return {"width": size[0], "height": size[1]} if size else {}

    def _put(self, image: Image.Image | bytes | str | Path) -> str:
        if isinstance(image, Image.Image):
            buffer = BytesIO()
            image.save(buffer, "PNG")
            return self._catalog.uploads.put(buffer.getvalue())
        if isinstance(image, bytes):
            return self._catalog.uploads.put(image)
        try:
            return self._catalog.uploads.put(Path(image).read_bytes())
        except OSError as error:
            raise UserError(f"{image} cannot be read: {error.strerror or error}.") from error

    def _made(self, request: Generation, progress: Callable[[float], None] | None) -> list[StudioPicture]:
        settings = self.settings.current
        folders = tuple(str(folder) for folder in self.flags.paths.embeddings)
        plan = resolve(request, settings, self._catalog, _random_seed, folders)
        for remark in plan.remarks:
            log.warning("%s", remark)
        settings = settings.with_options(request.override_settings, strict=False)
        # The engine knows one job at a time; the name only has to be another one each time.
        job_id = f"studio-{random.getrandbits(64):x}"
        self._wait_until_ready()
        self._engine.send(Run(job_id, plan))
        made: dict[int, StudioPicture] = {}
        try:
            while True:
                heard = self._heard.get()
                match heard:
                    case Pictured() if heard.job_id == job_id:
                        made[heard.position] = self._picture(heard, plan, settings)
                    case Progress() if heard.job_id == job_id and progress is not None:
                        progress(heard.fraction)
                    case Finished() if heard.job_id == job_id:
                        return [made[position] for position in sorted(made)]
                    case Failed() if heard.job_id == job_id:
                        raise _error(heard)
                    case Lost():
                        self._ready = False
                        raise EngineCrashed(heard.reason, hint="Try a smaller picture.")
        except KeyboardInterrupt:
            self._engine.send(Interrupt(job_id))
            raise

    def _picture(self, heard: Pictured, plan: Plan, settings: Settings) -> StudioPicture:
        picture = next(p for batch in plan.batches for p in batch if p.position == heard.position)
        text = self._catalog.job_pictures.infotext(picture, plan, settings, dict(heard.facts), version.LABEL, "")
        image = picture_of(heard.width, heard.height, heard.rgb, heard.alpha)
        return StudioPicture(image, text, picture.seed)

    def _wait_until_ready(self) -> None:
        while not self._ready:
            heard = self._heard.get()
            self._ready = isinstance(heard, Ready)
            if isinstance(heard, EngineState) and heard.state == "failed":
                raise EngineCrashed(heard.text)


def _complete(parameters: dict[str, object]) -> dict[str, object]:
    """Lists become tuples, as the declared fields have them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()}


def _random_seed() -> int:
    return random.randrange(LARGEST_RANDOM_SEED)


def _error(failed: Failed) -> WebuiError:
    error = WebuiError(failed.message, hint=failed.hint)
    error.code = failed.code
    return error
