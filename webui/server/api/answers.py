"""The shapes of A1111's lists, with the meaning of each field: what `/docs` shows, and what the answers are held to."""

from __future__ import annotations

from webui.server.api.documented import Documented


class SamplerItem(Documented):
    """A sampler."""

    name: str
    """What `sampler_name` takes."""
    aliases: list[str]
    """Other names that are taken."""
    options: dict[str, str]
    """A1111's remarks: its own schedule, whether it calls the model twice a step, whether its noise is Brownian."""


class SchedulerItem(Documented):
    """A schedule of noise levels."""

    name: str
    """In small letters; `scheduler` takes it."""
    label: str
    """As people see it; `scheduler` takes it too."""
    aliases: list[str] | None
    """Other names that are taken; null: none."""
    default_rho: float
    """The exponent rho of the schedule; -1: it has none."""
    need_inner_model: bool
    """Whether it asks the model which noise levels it knows."""


class UpscalerItem(Documented):
    """What makes pictures larger."""

    name: str
    """What `upscaler_1`, `upscaler_2` and `hr_upscaler` take."""
    model_name: str | None
    """The folder below `models/` that it lies in; null: it needs no file."""
    model_path: str | None
    """Its file; null: it needs none."""
    model_url: str | None
    """Always null: nothing is downloaded."""
    scale: float
    """A1111: how many times as large it makes a picture, as is guessed before the file is opened."""


class Named(Documented):
    """Something that has a name alone."""

    name: str
    """The name."""


class CheckpointItem(Documented):
    """A checkpoint."""

    title: str
    """File and short hash; what the setting `sd_model_checkpoint` takes."""
    model_name: str
    """The file's name without folder and extension."""
    hash: str | None
    """The first 10 hex digits of its sha256; null while it is not computed yet."""
    sha256: str | None
    """64 hex digits; null while it is not computed yet."""
    filename: str
    """Its path on the server."""
    config: str | None
    """The yaml file beside it; null: there is none."""


class VaeItem(Documented):
    """A VAE file."""

    model_name: str
    """The file's name; what the setting `sd_vae` takes."""
    filename: str
    """Its path on the server."""


class StyleItem(Documented):
    """A saved piece of prompt."""

    name: str
    """What `styles` takes."""
    prompt: str
    """Added to the prompt, or around it where it has `{prompt}`."""
    negative_prompt: str
    """The same for the negative prompt."""


class ScriptTitles(Documented):
    """Titles of scripts in small letters, by tab."""

    txt2img: list[str]
    """Those of txt2img."""
    img2img: list[str]
    """Those of img2img."""


class ScriptArgument(Documented):
    """One of a script's values."""

    label: str | None
    """Its title on the page."""
    value: object
    """Its default."""
    minimum: float | None
    """The least that the page offers; null: it is no slider."""
    maximum: float | None
    """The most that the page offers."""
    step: float | None
    """The step of the slider."""
    choices: list[object] | None
    """What can be chosen; null: anything."""


class ScriptItem(Documented):
    """A script."""

    name: str
    """Its title in small letters."""
    is_alwayson: bool
    """Whether it acts on every picture (`alwayson_scripts`), or is chosen (`script_name`)."""
    is_img2img: bool
    """Whether these are its values in img2img."""
    args: list[ScriptArgument]
    """Its values by position."""


class LoraItem(Documented):
    """A LoRA."""

    name: str
    """What prompts call it: `<lora:name:1>`."""
    alias: str
    """What its author called it; prompts may use it too."""
    path: str
    """Its path on the server."""
    metadata: dict[str, object]
    """What its trainer wrote into the file."""


class HypernetworkItem(Documented):
    """A hypernetwork."""

    name: str
    """What prompts call it: `<hypernet:name:1>`."""
    path: str
    """Its path on the server."""


class RealEsrganItem(Documented):
    """An upscaler of the family Real-ESRGAN."""

    name: str
    """What `upscaler_1` takes."""
    path: str
    """Its path on the server."""
    scale: int
    """How many times as large it makes a picture, as is guessed before the file is opened."""


class RestorerItem(Documented):
    """What sharpens faces."""

    name: str
    """Its name."""
    cmd_dir: str | None
    """The folder of its files."""


class ExtensionItem(Documented):
    """An extension of A1111; none is run here."""

    name: str
    """Its name."""
    enabled: bool
    """Whether it is used."""


class EmbeddingItem(Documented):
    """What a file tells of an embedding; null where it does not."""

    step: int | None
    """Of its training, at which it was saved."""
    sd_checkpoint: str | None
    """The short hash of the checkpoint that it was trained on."""
    sd_checkpoint_name: str | None
    """That checkpoint's name."""
    shape: int | None
    """The length of each vector."""
    vectors: int | None
    """How many tokens it takes up in a prompt."""


class EmbeddingsAnswer(Documented):
    """Embeddings by the names that prompts call them."""

    loaded: dict[str, EmbeddingItem]
    """Those that are there."""
    skipped: dict[str, EmbeddingItem]
    """A1111: those that do not fit the checkpoint; here they are found out when they are used."""


class RamAnswer(Documented):
    """Memory of the machine in bytes."""

    free: int
    """What programs can still have."""
    used: int
    """What they hold."""
    total: int
    """All of it."""


class MemoryAnswer(Documented):
    """Memory in bytes."""

    ram: RamAnswer
    """The machine's."""
    cuda: dict[str, object]
    """The GPU's: `system` with `free`, `used` and `total`, then `active`, `allocated` and `reserved` with `current` and
    `peak`; without a GPU only `error`."""


class PngInfoAnswer(Documented):
    """What a picture says of how it was made."""

    info: str
    """Its infotext; "": it has none."""
    items: dict[str, object]
    """Every text in the file by its key."""
    parameters: dict[str, object]
    """The infotext's labels and values, and `Prompt` and `Negative prompt`."""


class CardAnswer(Documented):
    """A model's card."""

    html: str
    """The card as HTML."""


class CaptionAnswer(Documented):
    """A picture in words."""

    caption: str
    """The words."""
