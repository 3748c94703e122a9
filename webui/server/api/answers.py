"""The shapes of A1111's lists, with the meaning of each field: what `/docs` shows, and what the answers are held to."""

from __future__ import annotations

from webui.request.documented import Documented


class SamplerItem(Documented):
    """A sampler."""

    name: str
    """The name to use in `sampler_name`."""
    aliases: list[str]
    """Other names that are accepted."""
    options: dict[str, str]
    """A1111's notes: its own schedule, whether it calls the model twice per step, whether its noise is Brownian."""


class SchedulerItem(Documented):
    """A schedule of noise levels."""

    name: str
    """The name in lower case, to use in `scheduler`."""
    label: str
    """The name shown on the page; `scheduler` accepts it, too."""
    aliases: list[str] | None
    """Other names that are accepted; null: none."""
    default_rho: float
    """The exponent rho of the schedule; -1 if it has none."""
    need_inner_model: bool
    """Whether it needs the model's own noise levels."""


class UpscalerItem(Documented):
    """An upscaler."""

    name: str
    """The name to use in `upscaler_1`, `upscaler_2` and `hr_upscaler`."""
    model_name: str | None
    """Its folder in `models/`; null if it needs no file."""
    model_path: str | None
    """Its file; null if it needs none."""
    model_url: str | None
    """Always null: nothing is downloaded."""
    scale: float
    """The factor by which it enlarges pictures, guessed before the file is opened, as in A1111."""


class Named(Documented):
    """An item with only a name."""

    name: str
    """The name."""


class CheckpointItem(Documented):
    """A checkpoint."""

    title: str
    """File name and short hash: the value to use in the setting `sd_model_checkpoint`."""
    model_name: str
    """The file's name, without its folder and extension."""
    hash: str | None
    """The first 10 hex digits of its sha256; null until it has been computed."""
    sha256: str | None
    """64 hex digits; null until they have been computed."""
    filename: str
    """Its path on the server."""
    config: str | None
    """The yaml file beside it; null if there is none."""


class VaeItem(Documented):
    """A VAE file."""

    model_name: str
    """The file's name: the value to use in the setting `sd_vae`."""
    filename: str
    """Its path on the server."""


class StyleItem(Documented):
    """A style: a saved fragment of a prompt."""

    name: str
    """The name to use in `styles`."""
    prompt: str
    """Added to the prompt; if it contains `{prompt}`, the prompt is inserted there."""
    negative_prompt: str
    """The same for the negative prompt."""


class ScriptTitles(Documented):
    """Titles of scripts in lower case, by tab."""

    txt2img: list[str]
    """The scripts of txt2img."""
    img2img: list[str]
    """The scripts of img2img."""


class ScriptArgument(Documented):
    """One of a script's values."""

    label: str | None
    """Its label on the page."""
    value: object
    """Its default value."""
    minimum: float | None
    """The minimum of its slider; null if it is not a slider."""
    maximum: float | None
    """The maximum of its slider."""
    step: float | None
    """The step of the slider."""
    choices: list[object] | None
    """The values to choose from; null: any value."""


class ScriptItem(Documented):
    """A script."""

    name: str
    """Its title in lower case."""
    is_alwayson: bool
    """Whether it is used in `alwayson_scripts` (true) or `script_name` (false)."""
    is_img2img: bool
    """Whether these are its parameters for img2img."""
    args: list[ScriptArgument]
    """Its parameters, by position."""


class LoraItem(Documented):
    """A LoRA."""

    name: str
    """Its name in prompts: `<lora:name:1>`."""
    alias: str
    """The name that its author gave it; it can be used in prompts, too."""
    path: str
    """Its path on the server."""
    metadata: dict[str, object]
    """The metadata that its training program wrote into the file."""


class HypernetworkItem(Documented):
    """A hypernetwork."""

    name: str
    """Its name in prompts: `<hypernet:name:1>`."""
    path: str
    """Its path on the server."""


class RealEsrganItem(Documented):
    """An upscaler of the Real-ESRGAN family."""

    name: str
    """The name to use in `upscaler_1`."""
    path: str
    """Its path on the server."""
    scale: int
    """The factor by which it enlarges pictures, guessed before the file is opened."""


class RestorerItem(Documented):
    """A face restorer."""

    name: str
    """Its name."""
    cmd_dir: str | None
    """The folder of its files."""


class ExtensionItem(Documented):
    """An A1111 extension; none can be used here."""

    name: str
    """Its name."""
    enabled: bool
    """Whether it is used."""


class EmbeddingItem(Documented):
    """What the file says about an embedding; null where it says nothing."""

    step: int | None
    """The training step at which it was saved."""
    sd_checkpoint: str | None
    """The short hash of the checkpoint it was trained on."""
    sd_checkpoint_name: str | None
    """That checkpoint's name."""
    shape: int | None
    """The length of each vector."""
    vectors: int | None
    """How many tokens it takes up in a prompt."""


class EmbeddingsAnswer(Documented):
    """Embeddings, by their names in prompts."""

    loaded: dict[str, EmbeddingItem]
    """The embeddings that are available."""
    skipped: dict[str, EmbeddingItem]
    """In A1111, those that do not fit the checkpoint; here, that is only checked when they are used."""


class RamAnswer(Documented):
    """Memory of the machine in bytes."""

    free: int
    """The memory that is free."""
    used: int
    """The memory in use."""
    total: int
    """The total memory."""


class MemoryAnswer(Documented):
    """Memory in bytes."""

    ram: RamAnswer
    """The machine's."""
    cuda: dict[str, object]
    """The GPU's: `system` with `free`, `used` and `total`, then `active`, `allocated` and `reserved` with `current` and
    `peak`; without a GPU only `error`."""


class PngInfoAnswer(Documented):
    """The generation parameters of a picture."""

    info: str
    """Its infotext; empty if it has none."""
    items: dict[str, object]
    """Every text in the file, by its key."""
    parameters: dict[str, object]
    """The labels and values of the infotext, plus `Prompt` and `Negative prompt`."""


class CardAnswer(Documented):
    """A model's card."""

    html: str
    """The card as HTML."""


class CaptionAnswer(Documented):
    """A description of a picture."""

    caption: str
    """The description."""
