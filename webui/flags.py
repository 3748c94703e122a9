"""The command line, declared once: parsing, help, the table of the README and `/sdapi/v1/cmd-flags` follow from it.

Every flag of A1111 is taken; those that have nothing to switch here are in `WITHOUT_EFFECT`.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from webui.base.errors import UserError, closest
from webui.base.paths import PROGRAM, Paths
from webui.request.engine_options import Attention, EngineOptions, Offload, Precision, SubQuadratic
from webui.request.frozen import Freeze

DEFAULT_PORT = 7860


@dataclass(frozen=True)
class Flag:
    """What is to know of a flag besides its name, type and default, which are those of the field."""

    group: str
    help: str
    metavar: str = ""
    others: tuple[str, ...] = ()
    """More spellings."""
    words: bool = False
    """A flag of several values takes them after one another, not by being repeated."""


@dataclass(frozen=True)
class Flags:
    """What was said on the command line."""

    # --- where things are
    data_dir: Annotated[
        Path, Flag("Folders", "the root of models, outputs and settings; may be an existing A1111 folder", "DIR")
    ] = PROGRAM
    models_dir: Annotated[Path | None, Flag("Folders", "the folder with a subfolder for each kind of model", "DIR")] = (
        None
    )
    ckpt: Annotated[str, Flag("Folders", "the checkpoint to start with", "FILE")] = ""
    ckpt_dir: Annotated[
        tuple[Path, ...], Flag("Folders", "an additional folder with checkpoints; may be repeated", "DIR")
    ] = ()
    vae_dir: Annotated[tuple[Path, ...], Flag("Folders", "an additional folder with VAEs; may be repeated", "DIR")] = ()
    vae_path: Annotated[Path | None, Flag("Folders", "the VAE to start with", "FILE")] = None
    embeddings_dir: Annotated[Path | None, Flag("Folders", "the folder with textual inversion embeddings", "DIR")] = (
        None
    )
    lora_dir: Annotated[
        tuple[Path, ...],
        Flag("Folders", "an additional folder with LoRAs; may be repeated", "DIR", others=("--lyco-dir-backcompat",)),
    ] = ()
    controlnet_dir: Annotated[
        tuple[Path, ...],
        Flag("Folders", "an additional folder with control networks; may be repeated", "DIR"),
    ] = ()
    gfpgan_models_path: Annotated[Path | None, Flag("Folders", "an additional folder with files of GFPGAN", "DIR")] = (
        None
    )
    codeformer_models_path: Annotated[
        Path | None, Flag("Folders", "an additional folder with files of CodeFormer", "DIR")
    ] = None
    styles_file: Annotated[tuple[Path, ...], Flag("Folders", "a file with saved styles; may be repeated", "FILE")] = ()
    localizations_dir: Annotated[Path | None, Flag("Folders", "the folder with languages of the page", "DIR")] = None
    ui_config_file: Annotated[Path | None, Flag("Folders", "the file with the saved defaults of the form", "FILE")] = (
        None
    )
    ui_settings_file: Annotated[Path | None, Flag("Folders", "the file with the settings", "FILE")] = None

    # --- the machine
    device_id: Annotated[str, Flag("Machine", "the GPUs to use, counted from 0: `1`, `0,1` or `all`", "N")] = ""
    use_cpu: Annotated[
        tuple[str, ...], Flag("Machine", "`all` or `sd`: generate pictures on the CPU", "MODULE", words=True)
    ] = ()
    precision: Annotated[Precision, Flag("Machine", "`full` runs everything in 32 bits")] = "autocast"
    no_half: Annotated[bool, Flag("Machine", "run models in 32 bits: slower, but cures black pictures on old GPUs")] = (
        False
    )
    no_half_vae: Annotated[bool, Flag("Machine", "run the VAE in 32 bits: cures black pictures with some models")] = (
        False
    )
    medvram: Annotated[bool, Flag("Machine", "for GPUs with 4 to 6 GB: keep only the network in use on the GPU")] = (
        False
    )
    lowvram: Annotated[
        bool, Flag("Machine", "for GPUs with 2 to 3 GB: move the network to the GPU part by part; slow")
    ] = False
    xformers: Annotated[
        bool, Flag("Machine", "use xformers for attention, where it is installed", others=("--force-enable-xformers",))
    ] = False
    opt_sdp_attention: Annotated[
        bool, Flag("Machine", "use torch's own attention (the default)", others=("--opt-sdp-no-mem-attention",))
    ] = False
    opt_split_attention: Annotated[
        bool,
        Flag(
            "Machine",
            "compute attention with some queries at a time (Doggettx): slower, but needs less memory; like all flags "
            "of attention, it counts where the setting cross_attention_optimization is Automatic",
        ),
    ] = False
    opt_split_attention_v1: Annotated[
        bool, Flag("Machine", "compute attention with two heads at a time (V1): slow, but needs less memory")
    ] = False
    opt_split_attention_invokeai: Annotated[
        bool, Flag("Machine", "compute attention head by head where memory is short (InvokeAI)")
    ] = False
    opt_sub_quad_attention: Annotated[
        bool,
        Flag("Machine", "compute attention with some queries and keys at a time (sub-quadratic): needs least memory"),
    ] = False
    sub_quad_q_chunk_size: Annotated[int, Flag("Machine", "queries at a time of --opt-sub-quad-attention")] = 1024
    sub_quad_kv_chunk_size: Annotated[
        int, Flag("Machine", "keys at a time of --opt-sub-quad-attention; 0: the square root of their number")
    ] = 0
    sub_quad_chunk_threshold: Annotated[
        int,
        Flag(
            "Machine",
            "percent of the free memory that the scores of --opt-sub-quad-attention may take before keys are seen in "
            "pieces, too; 0: they always are",
        ),
    ] = 100
    compile: Annotated[
        bool,
        Flag(
            "Machine",
            "compile the networks: the first picture takes minutes, later ones are faster; needs a C++ compiler",
        ),
    ] = False
    cuda_graphs: Annotated[
        bool,
        Flag(
            "Machine",
            "record the network's calls and replay them: small pictures are faster on NVIDIA, but need more memory",
        ),
    ] = False
    skip_load_model_at_start: Annotated[bool, Flag("Machine", "load the checkpoint only when it is first used")] = False

    # --- the server
    listen: Annotated[bool, Flag("Server", "accept connections from the network, not just from this machine")] = False
    server_name: Annotated[str, Flag("Server", "the address or name to listen on", "HOST")] = ""
    port: Annotated[
        int | None,
        Flag(
            "Server",
            f"the port to listen on; default: the first free one from {DEFAULT_PORT} upwards; 0: any free one",
            "N",
        ),
    ] = None
    allow_host: Annotated[
        tuple[str, ...], Flag("Server", "a host name under which a proxy reaches the server; may be repeated", "NAME")
    ] = ()
    share: Annotated[bool, Flag("Server", "create a public address for 72 hours through Gradio's tunnel")] = False
    subpath: Annotated[str, Flag("Server", "the path under which a proxy serves the page", "PATH")] = ""
    tls_keyfile: Annotated[Path | None, Flag("Server", "the private key for HTTPS", "FILE")] = None
    tls_certfile: Annotated[Path | None, Flag("Server", "the certificate for HTTPS", "FILE")] = None
    timeout_keep_alive: Annotated[int, Flag("Server", "seconds to keep an idle connection open", "N")] = 30
    autolaunch: Annotated[bool, Flag("Server", "open the page in the browser")] = False
    desktop: Annotated[
        bool,
        Flag("Server", "likewise, where the setting auto_launch_browser is Local; the launcher says it on a desktop"),
    ] = False
    theme: Annotated[
        Literal["", "light", "dark"], Flag("Server", "the page's theme; default: the system's setting")
    ] = ""
    no_prompt_history: Annotated[
        bool, Flag("Server", "do not save the last picture's parameters in params.txt for the paste button")
    ] = False
    nowebui: Annotated[bool, Flag("Server", "serve only the HTTP API, without the page")] = False
    api: Annotated[bool, Flag("Server", "the HTTP API (always on)")] = False
    api_log: Annotated[bool, Flag("Server", "write a log line for each API call")] = False
    api_server_stop: Annotated[bool, Flag("Server", "allow the API to stop and restart the server")] = False

    # --- who may enter
    gradio_auth: Annotated[
        tuple[str, ...], Flag("Access", "user:password; separate several with commas; may be repeated", "NAME:PW")
    ] = ()
    gradio_auth_path: Annotated[Path | None, Flag("Access", "a file with lines of user:password", "FILE")] = None
    api_auth: Annotated[
        tuple[str, ...], Flag("Access", "user:password for the HTTP API only, by HTTP Basic", "NAME:PW")
    ] = ()
    no_auth: Annotated[bool, Flag("Access", "require no password, even where others can reach the server")] = False
    cors_allow_origins: Annotated[
        str, Flag("Access", "other sites whose pages may call the API, separated by commas", "ORIGINS")
    ] = ""
    cors_allow_origins_regex: Annotated[str, Flag("Access", "the same, as a regular expression", "REGEX")] = ""

    freeze_settings: Annotated[bool, Flag("Access", "nobody can change any setting, on the page or over the API")] = (
        False
    )
    freeze_settings_in_sections: Annotated[
        str, Flag("Access", "the same for the settings of these sections of A1111, separated by commas", "NAMES")
    ] = ""
    freeze_specific_settings: Annotated[
        str, Flag("Access", "the same for these settings, separated by commas", "KEYS")
    ] = ""
    hide_ui_dir_config: Annotated[
        bool, Flag("Access", "the same for folders and file names, which the page does not show either")
    ] = False

    loglevel: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Flag("Server", "how much to log")] = "INFO"
    dump_sysinfo: Annotated[
        bool, Flag("Server", "write what a bug report needs to a JSON file in the current folder, and exit")
    ] = False
    exit: Annotated[bool, Flag("Server", "install what is missing, and exit without starting the server")] = False

    without_effect: tuple[str, ...] = field(default=())
    """Flags of `WITHOUT_EFFECT` that were given."""

    @property
    def paths(self) -> Paths:
        """Where things lie, as these flags say."""
        vaes = (*self.vae_dir, self.vae_path.resolve().parent) if self.vae_path else self.vae_dir
        return Paths(
            data=self.data_dir.resolve(),
            models_dir=self.models_dir.resolve() if self.models_dir else None,
            checkpoint_dirs=tuple(folder.resolve() for folder in self.ckpt_dir),
            vae_dirs=tuple(folder.resolve() for folder in vaes),
            lora_dirs=tuple(folder.resolve() for folder in self.lora_dir),
            control_dirs=tuple(folder.resolve() for folder in self.controlnet_dir),
            restorer_dirs=tuple(
                folder.resolve() for folder in (self.codeformer_models_path, self.gfpgan_models_path) if folder
            ),
            embeddings_dir=self.embeddings_dir.resolve() if self.embeddings_dir else None,
            styles_files=tuple(file.resolve() for file in self.styles_file),
            settings_path=self.ui_settings_file.resolve() if self.ui_settings_file else None,
            localizations_dir=self.localizations_dir.resolve() if self.localizations_dir else None,
            ui_config_path=self.ui_config_file.resolve() if self.ui_config_file else None,
        )

    @property
    def freeze(self) -> Freeze:
        """Which settings stay as they are."""
        return Freeze(
            self.freeze_settings,
            _listed(self.freeze_settings_in_sections),
            _listed(self.freeze_specific_settings),
            self.hide_ui_dir_config,
        )

    @property
    def engine(self) -> EngineOptions:
        """How the engine shall use the machine, as these flags say."""
        on_cpu = bool({"all", "sd"} & set(self.use_cpu))
        number = self._device_numbers[0] if self._device_numbers else ""
        offload: Offload = "low" if self.lowvram else "medium" if self.medvram else ""
        return EngineOptions(
            device="cpu" if on_cpu else f"cuda:{number}" if number else "",
            threads=_cores_for_each(len(self._device_numbers)) if on_cpu else 0,
            precision=self.precision,
            no_half=self.no_half,
            no_half_vae=self.no_half_vae,
            attention=self._attention,
            sub_quadratic=SubQuadratic(
                max(self.sub_quad_q_chunk_size, 1),
                max(self.sub_quad_kv_chunk_size, 0),
                max(self.sub_quad_chunk_threshold, 0) / 100,
            ),
            offload=offload,
            compile=self.compile,
            graphs=self.cuda_graphs,
            models_dir=str(self.paths.models),
            brought=str(self.paths.brought),
            log_level=self.loglevel,
        )

    @property
    def _attention(self) -> Attention:
        """A1111: of several flags, the one that stands first here counts."""
        wanted: tuple[tuple[bool, Attention], ...] = (
            (self.xformers, "xformers"),
            (self.opt_split_attention, "doggettx"),
            (self.opt_sdp_attention, "sdpa"),
            (self.opt_sub_quad_attention, "sub-quadratic"),
            (self.opt_split_attention_v1, "v1"),
            (self.opt_split_attention_invokeai, "invokeai"),
        )
        return next((way for is_wanted, way in wanted if is_wanted), "")

    @property
    def engines(self) -> tuple[EngineOptions, ...]:
        """One engine for each device of `--device-id`; on the CPU as many as devices are named."""
        numbers = self._device_numbers[1:]
        return (self.engine, *(self._beside(number) for number in numbers))

    @property
    def all_devices(self) -> bool:
        """Whether every GPU shall work; how many there are, the first engine finds out."""
        return self.device_id.strip() == "all" and self.engine.device != "cpu"

    def engines_beside_the_first(self, devices: int) -> tuple[EngineOptions, ...]:
        """For `--device-id all`, when so many devices were found."""
        return tuple(self._beside(str(number)) for number in range(1, devices))

    def _beside(self, number: str) -> EngineOptions:
        first = self.engine
        return first if first.device == "cpu" else dataclasses.replace(first, device=f"cuda:{number}")

    @property
    def _device_numbers(self) -> tuple[str, ...]:
        if self.device_id.strip() == "all":
            return () if {"all", "sd"} & set(self.use_cpu) else ("0",)
        return tuple(dict.fromkeys(part.strip() for part in self.device_id.split(",") if part.strip()))

    @property
    def host(self) -> str:
        """The address to listen on."""
        return self.server_name or ("0.0.0.0" if self.listen else "127.0.0.1")


@dataclass(frozen=True)
class Ignored:
    """Flags of A1111 that are accepted; `takes` is how many values follow ("*": any number)."""

    why: str
    names: tuple[str, ...]
    takes: int | Literal["*"] = 0


WITHOUT_EFFECT: tuple[Ignored, ...] = (
    Ignored(
        "the launcher's business, or nothing to switch here",
        (
            "-f",
            "--update-all-extensions",
            "--skip-python-version-check",
            "--skip-torch-cuda-test",
            "--reinstall-xformers",
            "--reinstall-torch",
            "--update-check",
            "--log-startup",
            "--skip-prepare-environment",
            "--skip-install",
            "--skip-version-check",
            "--no-download-sd-model",
            "--do-not-download-clip",
            "--gradio-debug",
            "--no-gradio-queue",
            "--gradio-queue",
            "--administrator",
            "--no-progressbar-hiding",
            "--disable-console-progressbars",
            "--enable-console-prompts",
            "--always-batch-cond-uncond",
            "--show-negative-prompt",
            "--deepdanbooru",
            "--add-stop-route",
            "--ui-debug-mode",
            "--use-textbox-seed",
            "--disable-tls-verify",
        ),
    ),
    Ignored("the setting face_restoration_unload says it", ("--unload-gfpgan",)),
    Ignored("files of GFPGAN are listed, and chosen in the settings", ("--gfpgan-dir", "--gfpgan-model"), takes=1),
    Ignored(
        "handled automatically, as the machine and the picture require",
        (
            "--upcast-sampling",
            "--medvram-sdxl",
            "--lowram",
            "--opt-channelslast",
            "--disable-model-loading-ram-optimization",
            "--disable-nan-check",
            "--xformers-flash-attention",
            "--disable-opt-split-attention",
            "--use-ipex",
            "--no-hashing",
        ),
    ),
    Ignored(
        "for safety, what it would change does not exist here",
        (
            "--allow-code",
            "--disable-safe-unpickle",
            "--enable-insecure-extension-access",
            "--disable-all-extensions",
            "--disable-extra-extensions",
        ),
    ),
    Ignored(
        "not supported yet, or not needed",
        (
            "--config",
            "--max-batch-count",
            "--textual-inversion-templates-dir",
            "--hypernetwork-dir",
            "--esrgan-models-path",
            "--bsrgan-models-path",
            "--realesrgan-models-path",
            "--dat-models-path",
            "--clip-models-path",
            "--ldsr-models-path",
            "--scunet-models-path",
            "--swinir-models-path",
            "--ngrok",
            "--ngrok-options",
            "--ngrok-region",
            "--gradio-img2img-tool",
            "--gradio-inpaint-tool",
            "--gradio-allowed-path",
            "--filenames-max-length",
        ),
        takes=1,
    ),
    Ignored("not supported yet, or not needed", ("--unix-filenames-sanitization",)),
    Ignored("the API is always on, and a checkpoint to test it with is included", ("--test-server",)),
)


def declared() -> dict[str, tuple[Flag, object, object]]:
    """Field name -> (Flag, type, default), in declaration order."""
    hints = get_type_hints(Flags, include_extras=True)
    found = {}
    for item in dataclasses.fields(Flags):
        annotation = hints[item.name]
        flag = next((extra for extra in getattr(annotation, "__metadata__", ()) if isinstance(extra, Flag)), None)
        if flag is not None:
            found[item.name] = (flag, get_args(annotation)[0], item.default)
    return found


def parser(program: str = "python -m webui") -> argparse.ArgumentParser:
    """The parser of the flags; other commands add their own arguments to it."""
    made = _Parser(prog=program, description="Gesso: a Stable Diffusion web UI.")
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name, (flag, kind, default) in declared().items():
        if flag.group not in groups:
            groups[flag.group] = made.add_argument_group(flag.group)
        shown = f"{flag.help} (default: {default})" if _has_default(default) else flag.help
        groups[flag.group].add_argument(
            spelling(name),
            *flag.others,
            dest=name,
            default=default,
            help=shown.replace("%", "%%"),
            **_taking(flag, kind),
        )
    for ignored in WITHOUT_EFFECT:
        for name in ignored.names:
            made.add_argument(
                name,
                dest="without_effect",
                action=_NoteIgnored,
                nargs=ignored.takes,
                default=(),
                help=argparse.SUPPRESS,
            )
    return made


def flags_of(values: argparse.Namespace) -> Flags:
    """The flags among what a parser found.

    Raises:
        UserError: values that do not go together.
    """
    known = {item.name for item in dataclasses.fields(Flags)}
    found: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(values).items()
        if name in known
    }
    flags = Flags(**found)
    if bool(flags.tls_keyfile) != bool(flags.tls_certfile):
        raise UserError("--tls-keyfile and --tls-certfile belong together; one of them is missing.")
    for file in (flags.tls_keyfile, flags.tls_certfile, flags.gradio_auth_path):
        if file and not is_file(file):
            raise UserError(f"There is no file {file}.")
    for name in declared():
        value = getattr(flags, name)
        for part in value if isinstance(value, tuple) else (value,):
            _refuse_nonsense(spelling(name), part)
    if flags.cors_allow_origins_regex:
        try:
            re.compile(flags.cors_allow_origins_regex)
        except re.error as error:
            raise UserError(f"--cors-allow-origins-regex is not a valid regular expression: {error}.") from error
    if flags.timeout_keep_alive < 0:
        raise UserError(f"--timeout-keep-alive takes seconds, not {flags.timeout_keep_alive}.")
    if flags.device_id.strip() not in ("", "all") and not all(
        part.strip().isdecimal() for part in flags.device_id.split(",")
    ):
        raise UserError(
            f"--device-id takes numbers or `all`, not {flags.device_id!r}.", hint="Write 0 or 0,1, for example."
        )
    if flags.port is not None and not 0 <= flags.port <= 65535:
        raise UserError(f"There is no port {flags.port}.", hint="Ports are numbers up to 65535.")
    return flags


def read(argv: Sequence[str]) -> Flags:
    """The flags on a command line.

    Raises:
        UserError: there is no such flag, or its value does not fit.
    """
    return flags_of(parser().parse_args(argv))


def markdown() -> str:
    """The README's table."""
    lines = ["| flag | what it does |", "|---|---|"]
    group = ""
    for name, (flag, kind, default) in declared().items():
        if flag.group != group:
            group = flag.group
            lines.append(f"| **{group}** | |")
        spelled = spelling(name)
        values = get_args(kind) if get_origin(kind) is Literal else ()
        value = "\\|".join(choice for choice in values if choice) or flag.metavar
        shown = f"; default {default}" if _has_default(default) else ""
        spellings = ", ".join(f"`{other}`" for other in flag.others)
        also = f"; also {spellings}" if spellings else ""
        lines.append(f"| `{spelled} {value}`".rstrip("` ") + f"` | {flag.help}{shown}{also} |")
    lines += ["", "Accepted so that old command lines keep working, but without effect:", ""]
    by_reason: dict[str, list[str]] = {}
    for ignored in WITHOUT_EFFECT:
        by_reason.setdefault(ignored.why, []).extend(ignored.names)
    lines += [f"- {why}: {', '.join(f'`{name}`' for name in names)}" for why, names in by_reason.items()]
    return "\n".join(lines)


def unheard(flags: Flags) -> list[str]:
    """A sentence for each reason for which flags that were given have no effect, and for each unknown name in them."""
    sentences = []
    for why in dict.fromkeys(ignored.why for ignored in WITHOUT_EFFECT):
        names = {name for ignored in WITHOUT_EFFECT if ignored.why == why for name in ignored.names}
        given = [name for name in dict.fromkeys(flags.without_effect) if name in names]
        if given:
            sentences.append(f"Without effect: {', '.join(given)} ({why}).")
    return [*sentences, *flags.freeze.unknown()]


def spelling(name: str) -> str:
    """The flag of a field: "data_dir" -> "--data-dir"."""
    return "--" + name.replace("_", "-")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _cores_for_each(engines: int) -> int:
    """Threads of each of several engines on the CPU; 0: as many as torch likes."""
    return max((os.cpu_count() or 1) // engines, 1) if engines > 1 else 0


def is_file(path: Path) -> bool:
    """Whether there is such a file; of a name that no file can have, or a folder that cannot be entered: False."""
    try:
        return path.is_file()
    except OSError:
        return False


def _refuse_nonsense(flag: str, value: object) -> None:
    """Raises UserError: a text holds bytes that are none, or a path is one that no file can have."""
    if isinstance(value, Path | str) and any("\ud800" <= letter <= "\udfff" for letter in str(value)):
        raise UserError(
            f"{flag}: {str(value)!a} is not written in UTF-8.",
            hint="Rename the file or folder, or set a UTF-8 locale.",
        )
    if isinstance(value, Path):
        try:
            value.stat()
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
                raise UserError(f"{flag}: {str(value)[:80]} cannot exist: {error.strerror}.") from error


def _has_default(default: object) -> bool:
    return default not in (None, "", False, ()) and default != PROGRAM


def _taking(flag: Flag, kind: object) -> dict[str, Any]:
    """How argparse shall read values of this type."""
    if kind is bool:
        return {"action": "store_true"}
    taken: dict[str, Any] = {"metavar": flag.metavar or None}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if get_origin(kind) is tuple:
        element = get_args(kind)[0]
        return taken | ({"nargs": "+"} if flag.words else {"action": _Append, "type": element})
    types = [part for part in get_args(kind) if part is not type(None)] or [kind]
    return taken | {"type": types[0]}


class _Append(argparse.Action):
    """Each time the flag is given, one value more."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        _option: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), values))


class _NoteIgnored(argparse.Action):
    """Remembers that the flag was given, not its values."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        _values: object,
        _option: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, (*namespace.without_effect, self.option_strings[0]))


class _Parser(argparse.ArgumentParser):
    """Complains with a UserError, which names the flag that was probably meant."""

    def error(self, message: str) -> NoReturn:
        hint = f"{self.prog} --help lists what there is."
        if message.startswith("unrecognized arguments: "):
            word = message.removeprefix("unrecognized arguments: ").split()[0]
            near = closest(word.split("=")[0], self._option_string_actions)
            hint = f"Did you mean {near}?" if near else hint
            message = f"there is no flag {word}"
        raise UserError(message[:1].upper() + message[1:].rstrip(".") + ".", hint=hint)
