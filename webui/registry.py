"""Everything that exists, a line each: samplers, schedules, model families, upscalers, tabs, scripts, kinds of jobs.

A line names its code as "module:function" and is resolved only when used: so both processes may read this table,
there is no import cycle, and the server never imports torch. An installed package may add lines through entry points
of the groups `webui.samplers`, `webui.schedules`, `webui.families`, `webui.features`, `webui.upscalers`,
`webui.restorers`, `webui.tabs`, `webui.scripts`, `webui.jobs`, `webui.routes`, each pointing at a record of the classes
below. One that cannot be used is named among the problems, and left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from webui import entry_points
from webui.base.errors import ExtensionError, NotFound, UserError, did_you_mean
from webui.base.fence import Problem, exited, told_of
from webui.entry_points import Added, Entry

if TYPE_CHECKING:
    from webui.engine.feature import FeatureEngine
    from webui.features.feature import FeatureParams
    from webui.scripts.script import Script


@dataclass(frozen=True)
class SamplerEntry(Entry):
    """A sampler: its name, its function, and what the rest of the program must know of it."""

    function: str
    aliases: tuple[str, ...] = ()
    schedule: str = ""
    """The schedule that Automatic means for it; "" is the model's own spacing."""
    options: tuple[str, ...] = ()
    """The fields of `SamplerOptions` that the function takes."""
    calls_per_step: int = 1
    """How often it asks the network a step, as A1111 counts: the prompt's schedule and the progress go by calls."""
    uses_ensd: bool = False
    """The infotext names ENSD where it is set."""
    discard_penultimate: bool = False
    """Asks its schedule for one step more and leaves out the last noise level but one."""
    brownian: bool = False
    """Its noise is a Brownian path per picture."""
    timesteps: bool = False
    """Walks along integer timesteps of its own, whatever the schedule; masks act before the denoising."""
    takes_range: bool = False
    """Takes only the range of sigma, not the schedule."""
    adapts: str = ""
    """A function from Process to Process that it needs."""
    cfg_factor: float = 1.0
    """Multiplies the CFG scale."""


@dataclass(frozen=True)
class ScheduleEntry(Entry):
    """A way to space the noise levels; its first alias is its name in A1111's API."""

    function: str
    """`(n, low, high, process, **options) -> sigmas`; "" for Automatic."""
    aliases: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    """A1111: names that its API lists for it, but does not know itself: asked for, they mean Automatic."""
    options: tuple[str, ...] = ()
    default_rho: float = 0.0
    """0: it takes none."""


@dataclass(frozen=True)
class FamilyEntry(Entry):
    """A model family; `code` is its `Family` record."""

    code: str
    capabilities: str = ""
    """Its `webui.request.capabilities.Capabilities`; "": the engine alone knows what it can bear."""


@dataclass(frozen=True)
class UpscalerEntry(Entry):
    """A way to enlarge pictures without a model file; `code` is a function (picture, factor) -> picture (PIL, RGB),
    about so many times larger, run by the engine."""

    code: str


@dataclass(frozen=True)
class RestorerEntry(Entry):
    """What mends faces; `code` is a function from picture to picture (PIL, RGB, of one size), run by the engine."""

    code: str


@dataclass(frozen=True)
class FeatureEntry(Entry):
    """A capability of a picture; `package` has the class `Params` in `parameters`, and `Engine` in `engine`."""

    package: str
    panel: bool = False
    """`panel.py` has a function `panel(app, form)` that lays out its controls (`webui.server.ui.controls.Controls`)."""
    kinds: tuple[str, ...] = ()
    """The kinds of jobs whose requests may ask for it; empty: all that make pictures."""
    aside: bool = False
    """`aside.py` has a function `aside`, which the engine runs beside the device, as a kind of job's."""

    def is_for(self, kind: str) -> bool:
        """Whether requests of this kind may ask for it; "": whether any may."""
        return not kind or not self.kinds or kind in self.kinds

    @property
    def params(self) -> type[FeatureParams]:
        found: type[FeatureParams] = resolved(f"{self.package}.parameters:Params")
        return found

    @property
    def engine(self) -> type[FeatureEngine[FeatureParams]]:
        """In the engine's process alone."""
        found: type[FeatureEngine[FeatureParams]] = resolved(f"{self.package}.engine:Engine")
        return found

    @property
    def own_panel(self) -> str:
        """A function of the App and the form; for the server's process alone."""
        return f"{self.package}.panel:panel"

    @property
    def aside_work(self) -> str:
        """As that of a kind of job."""
        return f"{self.package}.aside:aside"


@dataclass(frozen=True)
class TabEntry(Entry):
    """A tab of the page; `code` is a function of the App that builds it inside a `gr.Tab`."""

    code: str
    elem_id: str


@dataclass(frozen=True)
class ScriptEntry(Entry):
    """A script that makes many requests out of one; `code` is its `webui.scripts.script.Script`."""

    code: str


@dataclass(frozen=True)
class RouteEntry(Entry):
    """Routes of the HTTP server; `code` is a function of the App that gives back a `webui.server.routes.Routes`."""

    code: str


@dataclass(frozen=True)
class JobKind(Entry):
    """A kind of job; `package` is its folder. In there: `request.py` with a class `Request`, which both processes
    know; `work.py` with a function `work`, run by the engine; `server.py` with a class `Server`, the queue's."""

    package: str
    scope: Literal["user", "admin"] = "user"
    """Who may submit one."""
    long: bool = False
    """It takes hours and its work leaves resume points, where it makes way for jobs of other kinds."""
    aside: bool = False
    """It has a preview: `aside.py` with a function `aside`, run by the engine beside the device, and `Server.aside`."""

    @property
    def request(self) -> str:
        """A class of `webui.request.jobs.JobRequest`."""
        return f"{self.package}.request:Request"

    @property
    def work(self) -> str:
        """A function of `webui.engine.house.WorkFunction`."""
        return f"{self.package}.work:work"

    @property
    def server(self) -> str:
        """A class of `webui.server.jobs.kind.JobServer`."""
        return f"{self.package}.server:Server"

    @property
    def aside_work(self) -> str:
        """A function from an `AsidePlan` to a `webui.request.messages.AsideResult`, quick and without networks."""
        return f"{self.package}.aside:aside"


_S = "webui.engine.sampling"

SAMPLERS: tuple[SamplerEntry, ...] = (
    SamplerEntry("DPM++ 2M", f"{_S}.dpmpp:dpmpp_2m", aliases=("k_dpmpp_2m",), schedule="Karras"),
    SamplerEntry(
        "DPM++ SDE",
        f"{_S}.dpmpp:dpmpp_sde",
        aliases=("k_dpmpp_sde",),
        schedule="Karras",
        calls_per_step=2,
        brownian=True,
        options=("eta", "s_noise"),
    ),
    SamplerEntry(
        "DPM++ 2M SDE",
        f"{_S}.dpmpp:dpmpp_2m_sde",
        aliases=("k_dpmpp_2m_sde",),
        schedule="Exponential",
        brownian=True,
        options=("eta", "s_noise"),
    ),
    SamplerEntry(
        "DPM++ 2M SDE Heun",
        f"{_S}.dpmpp:dpmpp_2m_sde_heun",
        aliases=("k_dpmpp_2m_sde_heun",),
        schedule="Exponential",
        brownian=True,
        options=("eta", "s_noise"),
    ),
    SamplerEntry(
        "DPM++ 2S a",
        f"{_S}.dpmpp:dpmpp_2s_ancestral",
        aliases=("k_dpmpp_2s_a",),
        schedule="Karras",
        calls_per_step=2,
        uses_ensd=True,
        options=("eta", "s_noise"),
    ),
    SamplerEntry(
        "DPM++ 3M SDE",
        f"{_S}.dpmpp:dpmpp_3m_sde",
        aliases=("k_dpmpp_3m_sde",),
        schedule="Exponential",
        discard_penultimate=True,
        brownian=True,
        options=("eta", "s_noise"),
    ),
    SamplerEntry(
        "Euler a",
        f"{_S}.euler:euler_ancestral",
        aliases=("k_euler_a", "k_euler_ancestral"),
        uses_ensd=True,
        options=("eta",),
    ),
    SamplerEntry(
        "Euler", f"{_S}.euler:euler", aliases=("k_euler",), options=("s_churn", "s_tmin", "s_tmax", "s_noise")
    ),
    SamplerEntry("LMS", f"{_S}.lms:lms", aliases=("k_lms",)),
    SamplerEntry(
        "Heun",
        f"{_S}.heun:heun",
        aliases=("k_heun",),
        calls_per_step=2,
        options=("s_churn", "s_tmin", "s_tmax", "s_noise"),
    ),
    SamplerEntry(
        "DPM2",
        f"{_S}.dpm2:dpm2",
        aliases=("k_dpm_2",),
        schedule="Karras",
        calls_per_step=2,
        discard_penultimate=True,
        options=("s_churn", "s_tmin", "s_tmax", "s_noise"),
    ),
    SamplerEntry(
        "DPM2 a",
        f"{_S}.dpm2:dpm2_ancestral",
        aliases=("k_dpm_2_a",),
        schedule="Karras",
        calls_per_step=2,
        discard_penultimate=True,
        uses_ensd=True,
        options=("eta", "s_noise"),
    ),
    SamplerEntry(
        "DPM fast",
        f"{_S}.dpm_solver:dpm_fast",
        aliases=("k_dpm_fast",),
        uses_ensd=True,
        takes_range=True,
        options=("eta", "s_noise"),
    ),
    SamplerEntry(
        "DPM adaptive",
        f"{_S}.dpm_solver:dpm_adaptive",
        aliases=("k_dpm_ad",),
        uses_ensd=True,
        takes_range=True,
        options=("eta",),
    ),
    SamplerEntry("Restart", f"{_S}.restart:restart", aliases=("restart",), schedule="Karras", calls_per_step=2),
    SamplerEntry("DDIM", f"{_S}.ddim:ddim", aliases=("ddim",), timesteps=True, options=("eta",)),
    SamplerEntry(
        "DDIM CFG++",
        f"{_S}.ddim:ddim_cfgpp",
        aliases=("ddim_cfgpp",),
        timesteps=True,
        cfg_factor=1 / 12.5,
        options=("eta",),
    ),
    SamplerEntry("PLMS", f"{_S}.plms:plms", aliases=("plms",), timesteps=True),
    SamplerEntry(
        "UniPC",
        f"{_S}.unipc:unipc",
        aliases=("unipc",),
        timesteps=True,
        options=("variant", "skip_type", "order", "lower_order_final", "whole"),
    ),
    SamplerEntry("LCM", f"{_S}.lcm:lcm", aliases=("k_lcm",), adapts=f"{_S}.lcm:consistency"),
    # From here on: not in A1111.
    SamplerEntry("Euler CFG++", f"{_S}.cfgpp:euler_cfgpp", aliases=("euler_cfg_pp",), cfg_factor=1 / 12.5),
    SamplerEntry(
        "DPM++ 2M CFG++",
        f"{_S}.cfgpp:dpmpp_2m_cfgpp",
        aliases=("dpmpp_2m_cfg_pp",),
        schedule="Karras",
        cfg_factor=1 / 12.5,
    ),
    SamplerEntry("Res Multistep", f"{_S}.res:res_multistep", aliases=("res_multistep",), schedule="Karras"),
    SamplerEntry("ER SDE", f"{_S}.er_sde:er_sde", aliases=("er_sde",), options=("eta", "s_noise")),
)

SCHEDULES: tuple[ScheduleEntry, ...] = (
    ScheduleEntry("Automatic", "", aliases=("automatic",)),
    ScheduleEntry("Uniform", f"{_S}.schedules:uniform", ("uniform",)),
    ScheduleEntry("Karras", f"{_S}.schedules:karras", ("karras",), options=("rho",), default_rho=7.0),
    ScheduleEntry("Exponential", f"{_S}.schedules:exponential", ("exponential",)),
    ScheduleEntry(
        "Polyexponential", f"{_S}.schedules:polyexponential", ("polyexponential",), options=("rho",), default_rho=1.0
    ),
    ScheduleEntry("SGM Uniform", f"{_S}.schedules:sgm_uniform", ("sgm_uniform",), listed=("SGMUniform",)),
    ScheduleEntry("KL Optimal", f"{_S}.schedules:kl_optimal", ("kl_optimal",)),
    ScheduleEntry("Align Your Steps", f"{_S}.schedules:align_your_steps", ("align_your_steps",), options=("table",)),
    ScheduleEntry("Simple", f"{_S}.schedules:simple", ("simple",)),
    ScheduleEntry("Normal", f"{_S}.schedules:normal", ("normal",)),
    ScheduleEntry("DDIM", f"{_S}.schedules:ddim", ("ddim",)),
    ScheduleEntry("Beta", f"{_S}.schedules:beta", ("beta",), options=("beta_alpha", "beta_beta")),
)

_M, _C = "webui.engine.families", "webui.request.capabilities"

FAMILIES: tuple[FamilyEntry, ...] = (
    FamilyEntry("SD1", f"{_M}.sd1:SD1", f"{_C}:SD1"),
    FamilyEntry("SD2", f"{_M}.sd2:SD2", f"{_C}:SD2"),
    FamilyEntry("SDXL", f"{_M}.sdxl:SDXL", f"{_C}:SDXL"),
    FamilyEntry("SD3", f"{_M}.sd3:SD3", f"{_C}:SD3"),
    FamilyEntry("Diffusers file", f"{_M}.single_file:SINGLE_FILE", f"{_C}:SINGLE_FILE"),
    FamilyEntry("Flux", f"{_M}.flux:FLUX", f"{_C}:FLUX"),
    FamilyEntry("Diffusers", f"{_M}.diffusers_pipeline:DIFFUSERS", f"{_C}:DIFFUSERS"),
)

LATENT_UPSCALERS: tuple[str, ...] = (
    "Latent",
    "Latent (antialiased)",
    "Latent (bicubic)",
    "Latent (bicubic antialiased)",
    "Latent (nearest)",
    "Latent (nearest-exact)",
)
"""What the hires pass can enlarge latents with."""
PIXEL_UPSCALERS: tuple[str, ...] = ("None", "Lanczos", "Nearest")
"""What can enlarge pictures without a model; None means Lanczos there."""

_F = "webui.features"

FEATURES: tuple[FeatureEntry, ...] = (
    FeatureEntry("LoRA", f"{_F}.lora"),
    FeatureEntry("Hypernetworks", f"{_F}.hypernetworks"),
    FeatureEntry("Token merging", f"{_F}.token_merging"),
    FeatureEntry("Hypertile", f"{_F}.hypertile"),
    FeatureEntry("Upcast attention", f"{_F}.upcast_attention"),
    FeatureEntry("Tiling", f"{_F}.tiling"),
    FeatureEntry("FreeU", f"{_F}.freeu", panel=True),
    FeatureEntry("Kohya HRFix", f"{_F}.hrfix"),
    FeatureEntry("Refiner", f"{_F}.refiner"),
    FeatureEntry("CFG-Zero*", f"{_F}.cfg_zero_star"),
    FeatureEntry("Adaptive projected guidance", f"{_F}.adaptive_projected_guidance"),
    FeatureEntry("Perturbed attention", f"{_F}.perturbed_attention"),
    FeatureEntry("Self-attention guidance", f"{_F}.self_attention_guidance"),
    FeatureEntry("Dynamic thresholding", f"{_F}.dynamic_thresholding"),
    FeatureEntry("CFG rescale", f"{_F}.cfg_rescale"),
    FeatureEntry("ControlNet", f"{_F}.controlnet", panel=True, aside=True),
    FeatureEntry("Regional Prompter", f"{_F}.regional_prompter", panel=True),
    FeatureEntry("Enlarging", f"{_F}.enlarging", kinds=("img2img",)),
    FeatureEntry("Tiled Diffusion", f"{_F}.tiled_diffusion", panel=True),
    FeatureEntry("Tiled VAE", f"{_F}.tiled_vae"),
    FeatureEntry("Noise recovery", f"{_F}.noise_recovery", kinds=("img2img",)),
    FeatureEntry("Hires. fix", f"{_F}.hires", kinds=("txt2img",)),
    FeatureEntry("Face restoration", f"{_F}.face_restoration"),
    FeatureEntry("Soft inpainting", f"{_F}.soft_inpainting", kinds=("img2img",)),
    FeatureEntry("Colour correction", f"{_F}.colour_correction", kinds=("img2img",)),
    FeatureEntry("Inpainting", f"{_F}.inpainting", kinds=("img2img",)),
    FeatureEntry("Film", f"{_F}.film"),
    FeatureEntry("ADetailer", f"{_F}.detailer", panel=True),
    FeatureEntry("Postprocessing", f"{_F}.postprocessing", panel=True),
    FeatureEntry("Remove background", f"{_F}.remove_background", aside=True),
)
"""In the order in which they act."""

RESTORERS: tuple[RestorerEntry, ...] = ()
"""None of our own yet: it needs a face detector beside the model."""

TABS: tuple[TabEntry, ...] = (
    TabEntry("txt2img", "webui.server.ui.tabs.txt2img:txt2img", "tab_txt2img"),
    TabEntry("img2img", "webui.server.ui.tabs.img2img:img2img", "tab_img2img"),
    TabEntry("Extras", "webui.server.ui.tabs.extras:extras", "tab_extras"),
    TabEntry("PNG Info", "webui.server.ui.tabs.pnginfo:pnginfo", "tab_pnginfo"),
    TabEntry("Checkpoint Merger", "webui.server.ui.tabs.merger:merger", "tab_merge"),
    TabEntry("Queue", "webui.server.ui.tabs.queue:queue", "tab_queue"),
    TabEntry("History", "webui.server.ui.tabs.history:history", "tab_history"),
    TabEntry("Settings", "webui.server.ui.tabs.settings:settings", "tab_settings"),
)

SCRIPTS: tuple[ScriptEntry, ...] = (
    ScriptEntry("Dynamic prompts: all combinations", "webui.scripts.combinations:Combinations"),
    ScriptEntry("img2img alternative test", "webui.scripts.img2img_alternative:Img2ImgAlternative"),
    ScriptEntry("Loopback", "webui.scripts.loopback:Loopback"),
    ScriptEntry("Outpainting mk2", "webui.scripts.outpainting_mk2:OutpaintingMk2"),
    ScriptEntry("Poor man's outpainting", "webui.scripts.poor_mans_outpainting:PoorMansOutpainting"),
    ScriptEntry("Prompt matrix", "webui.scripts.prompt_matrix:PromptMatrix"),
    ScriptEntry("Prompts from file or textbox", "webui.scripts.prompts_from_file:PromptsFromFile"),
    ScriptEntry("SD upscale", "webui.scripts.sd_upscale:SdUpscale"),
    ScriptEntry("X/Y/Z plot", "webui.scripts.xyz:XyzPlot"),
    ScriptEntry("Ultimate SD upscale", "webui.scripts.ultimate_sd_upscale:UltimateSdUpscale"),
)

JOB_KINDS: tuple[JobKind, ...] = (
    JobKind("txt2img", "webui.jobs.txt2img"),
    JobKind("img2img", "webui.jobs.img2img"),
    JobKind("extras", "webui.jobs.extras", aside=True),
    JobKind("merge", "webui.jobs.merge", scope="admin"),
    JobKind("interrogate", "webui.jobs.interrogate"),
    JobKind("caption", "webui.jobs.caption", scope="admin", long=True),
    JobKind("compose", "webui.jobs.compose"),
)

UPSCALERS: tuple[UpscalerEntry, ...] = ()
"""Our own are `PIXEL_UPSCALERS` and the files below `models/`."""

ROUTES: tuple[RouteEntry, ...] = ()
"""Our own are in `webui/server`."""

E = TypeVar("E")


def resolved(code: str) -> Any:
    """The object that "module:name" names; imports the module.

    Raises:
        ExtensionError: an installed package is to have it, and cannot give it.
    """
    module, _, name = code.partition(":")
    try:
        return getattr(import_module(module), name)
    except (Exception, SystemExit) as error:
        origin = entry_points.origins().get(module.partition(".")[0])
        if origin is None or isinstance(error, ExtensionError):
            raise
        raise ExtensionError(origin, told_of(exited(error) if isinstance(error, SystemExit) else error)) from error


def _unchecked(_line: Entry) -> None:
    """For lines whose code one of the two processes alone can look at."""


def _is_feature(line: FeatureEntry) -> None:
    """Raises what speaks against the declared half of a feature."""
    params = line.params
    _must_be(params, "webui.features.feature:FeatureParams")
    if params.title not in ("", line.name):
        raise UserError(f"Its parameters are called {params.title!r}, but its line is called {line.name!r}.")
    params.params()
    params()


def _is_kind(line: JobKind) -> None:
    """Raises what speaks against the requests of a kind of job."""
    request = resolved(line.request)
    _must_be(request, "webui.request.jobs:JobRequest")
    if request.kind != line.name:
        raise UserError(f"Its requests are of the kind {request.kind!r}, but its line is called {line.name!r}.")
    request()


def _is_family(line: FamilyEntry) -> None:
    """Raises what speaks against what a family is said to bear."""
    if line.capabilities and not isinstance(
        found := resolved(line.capabilities), resolved("webui.request.capabilities:Capabilities")
    ):
        raise UserError(f"{found!r} is not a webui.request.capabilities.Capabilities.")


def _is_tab(line: TabEntry) -> None:
    if line.elem_id in {own.elem_id for own in TABS} or not line.elem_id.isidentifier():
        raise UserError(f"elem_id {line.elem_id!r} is another tab's, or not an identifier.")


def _is_script(line: ScriptEntry) -> None:
    script = resolved(line.code)
    _must_be(script, "webui.scripts.script:Script")
    script.params()


def _must_be(cls: object, base: str) -> None:
    if not (isinstance(cls, type) and issubclass(cls, resolved(base))):
        raise UserError(f"{cls!r} is not a class of {base.replace(':', '.')}.")


@cache
def _samplers() -> Added[SamplerEntry]:
    return entry_points.added("samplers", SamplerEntry, SAMPLERS, _unchecked)


@cache
def _schedules() -> Added[ScheduleEntry]:
    return entry_points.added("schedules", ScheduleEntry, SCHEDULES, _unchecked)


@cache
def _families() -> Added[FamilyEntry]:
    return entry_points.added("families", FamilyEntry, FAMILIES, _is_family)


@cache
def _features() -> Added[FeatureEntry]:
    return entry_points.added("features", FeatureEntry, FEATURES, _is_feature)


@cache
def _upscalers() -> Added[UpscalerEntry]:
    return entry_points.added("upscalers", UpscalerEntry, UPSCALERS, _unchecked)


@cache
def _restorers() -> Added[RestorerEntry]:
    return entry_points.added("restorers", RestorerEntry, RESTORERS, _unchecked)


@cache
def _tabs() -> Added[TabEntry]:
    return entry_points.added("tabs", TabEntry, TABS, _is_tab)


@cache
def _scripts() -> Added[ScriptEntry]:
    return entry_points.added("scripts", ScriptEntry, SCRIPTS, _is_script)


@cache
def _job_kinds() -> Added[JobKind]:
    return entry_points.added("jobs", JobKind, JOB_KINDS, _is_kind)


@cache
def _routes() -> Added[RouteEntry]:
    return entry_points.added("routes", RouteEntry, ROUTES, _unchecked)


def problems() -> tuple[Problem, ...]:
    """What installed packages add and cannot be used, as far as the server can tell."""
    tables: tuple[Added[Any], ...] = (
        *(_samplers(), _schedules(), _families(), _features(), _upscalers()),
        *(_restorers(), _tabs(), _scripts(), _job_kinds(), _routes()),
    )
    found = [problem for table in tables for problem in table.problems]
    for line in (line for table in tables for line in table.lines):
        missing = [code for code in codes_of(line) if not entry_points.is_there(code)]
        found += [entry_points.problem_with(line.origin, line.name, UserError(f"There is no {c}.")) for c in missing]
    return (*entry_points.unreadable(), *found)


def codes_of(line: Entry) -> tuple[str, ...]:
    """All that a line names as "module:name"."""
    match line:
        case SamplerEntry():
            return tuple(filter(None, (line.function, line.adapts)))
        case ScheduleEntry():
            return tuple(filter(None, (line.function,)))
        case FeatureEntry():
            own = [line.own_panel] * line.panel + [line.aside_work] * line.aside
            return (f"{line.package}.parameters:Params", f"{line.package}.engine:Engine", *own)
        case JobKind():
            return (line.request, line.work, line.server, *((line.aside_work,) if line.aside else ()))
        case _:
            return (str(getattr(line, "code", "")),)


def of_the_engine() -> tuple[tuple[Entry, str], ...]:
    """Each line that an installed package adds and the engine carries out, and its code."""
    found: list[tuple[Entry, str]] = []
    for table in (_samplers(), _schedules(), _families(), _upscalers(), _restorers()):
        found += [(line, code) for line in table.lines for code in codes_of(line)]
    found += [(line, f"{line.package}.engine:Engine") for line in _features().lines]
    found += [(line, line.aside_work) for line in _features().lines if line.aside]
    found += [(line, line.work) for line in _job_kinds().lines]
    found += [(line, line.aside_work) for line in _job_kinds().lines if line.aside]
    return tuple(found)


def samplers() -> tuple[SamplerEntry, ...]:
    return (*SAMPLERS, *_samplers().lines)


def schedules() -> tuple[ScheduleEntry, ...]:
    return (*SCHEDULES, *_schedules().lines)


def families() -> tuple[FamilyEntry, ...]:
    return (*FAMILIES, *_families().lines)


def upscalers() -> tuple[UpscalerEntry, ...]:
    return (*UPSCALERS, *_upscalers().lines)


def plain_upscalers() -> tuple[str, ...]:
    """The names of all that can enlarge pictures without a model file."""
    return (*PIXEL_UPSCALERS, *(entry.name for entry in upscalers()))


def features() -> tuple[FeatureEntry, ...]:
    return (*FEATURES, *_features().lines)


def carried(kind: str = "") -> tuple[FeatureEntry, ...]:
    """The features whose values requests of this kind carry under `features`; "": of any kind."""
    return tuple(entry for entry in features() if entry.params.title and entry.is_for(kind))


def feature(name: str) -> FeatureEntry | None:
    """The feature that a request carries under this name, in any letter case, or as which always-on script it is known.

    None: there is none.
    """
    return _feature_names(features()).get(name.strip().casefold())


@cache
def _feature_names(entries: tuple[FeatureEntry, ...]) -> dict[str, FeatureEntry]:
    told = [entry for entry in entries if entry.params.title]
    return _by_names((name, entry) for entry in reversed(told) for name in (entry.name, *entry.params.aliases))


def flat_names(kind: str = "") -> dict[str, tuple[FeatureEntry, str]]:
    """What programs, presets and requests of an earlier day call parameters of features, as if they were the request's:
    name -> (feature, parameter). kind: of the request; "": any."""
    return _flat_names(features(), kind)


@cache
def _flat_names(entries: tuple[FeatureEntry, ...], kind: str) -> dict[str, tuple[FeatureEntry, str]]:
    there = [entry for entry in entries if entry.is_for(kind)]
    return {flat: (entry, own) for entry in there for flat, own in entry.params.flat.items()}


def restorers() -> tuple[RestorerEntry, ...]:
    return (*RESTORERS, *_restorers().lines)


def tabs() -> tuple[TabEntry, ...]:
    return (*TABS, *_tabs().lines)


def scripts() -> tuple[ScriptEntry, ...]:
    return (*SCRIPTS, *_scripts().lines)


def scripts_for(kind: str) -> tuple[ScriptEntry, ...]:
    """Those that can be picked for this kind of generation."""
    return tuple(entry for entry in scripts() if kind in resolved(entry.code).kinds)


def job_kinds() -> tuple[JobKind, ...]:
    return (*JOB_KINDS, *_job_kinds().lines)


def routes() -> tuple[RouteEntry, ...]:
    return (*ROUTES, *_routes().lines)


def job_kind(name: str) -> JobKind:
    """
    Raises:
        NotFound: no kind of job has this name.
    """
    found = next((kind for kind in job_kinds() if kind.name == name), None)
    if found is None:
        known = [each.name for each in job_kinds()]
        raise NotFound(f"There is no kind of job {name!r}.", hint=did_you_mean(name, known))
    return found


def beside(name: str) -> JobKind | FeatureEntry:
    """The kind of job or the feature of this name, which has something that is done beside the device.

    Raises:
        NotFound: there is none.
        UserError: it has nothing of the kind.
    """
    found = next((entry for entry in features() if entry.name == name), None) or job_kind(name)
    if not found.aside:
        raise UserError(f"{name!r} cannot be previewed.")
    return found


def script(name: str) -> type[Script]:
    """The script of this title, in any letter case.

    Raises:
        NotFound: there is none.
    """
    found = next((entry for entry in scripts() if entry.name.casefold() == name.casefold()), None)
    if found is None:
        raise NotFound(f"Script {name!r} not found.", hint=did_you_mean(name, [each.name for each in scripts()]))
    code: type[Script] = resolved(found.code)
    return code


def sampler(name: str) -> SamplerEntry:
    """The sampler of this name or alias, in any letter case.

    Raises:
        NotFound: there is none.
    """
    found = _sampler_names().get(name.casefold())
    if found is None:
        raise NotFound(
            f"No sampler is called {name!r}.",
            field="sampler_name",
            hint=did_you_mean(name, [entry.name for entry in samplers()]),
        )
    return found


def schedule(name: str) -> ScheduleEntry:
    """The schedule of this label, name or alias, in any letter case.

    Raises:
        NotFound: there is none.
    """
    found = _schedule_names().get(name.casefold())
    if found is None:
        raise NotFound(
            f"No schedule type is called {name!r}.",
            field="scheduler",
            hint=did_you_mean(name, [entry.name for entry in schedules()]),
        )
    return found


def sampler_and_schedule(sampler_name: str, schedule_name: str) -> tuple[SamplerEntry, ScheduleEntry]:
    """Both by name; the old combined names are understood: "DPM++ 2M Karras", "k_dpmpp_2m_ka".

    Raises:
        NotFound: no such sampler or schedule.
    """
    combined = _split_combined(sampler_name)
    if combined is not None:
        schedule(schedule_name or "Automatic")  # to complain of a name that nothing has
        return combined  # A1111: the schedule in the sampler's name wins
    return sampler(sampler_name), schedule(schedule_name or "Automatic")


def _split_combined(name: str) -> tuple[SamplerEntry, ScheduleEntry] | None:
    """ "DPM++ 2M Karras" -> its two parts, when the whole is not a sampler's name by itself."""
    folded = name.casefold()
    if folded in _sampler_names():
        return None
    abbreviations = {"_ka": "karras", "_exp": "exponential"}
    endings = {f" {known}": entry for known, entry in _schedule_names().items()}
    endings |= {short: _schedule_names()[long] for short, long in abbreviations.items() if long in _schedule_names()}
    for ending, entry in endings.items():
        if folded.endswith(ending) and (found := _sampler_names().get(folded.removesuffix(ending))):
            return found, entry
    return None


@cache
def _sampler_names() -> dict[str, SamplerEntry]:
    return _by_names((alias, entry) for entry in samplers() for alias in (entry.name, *entry.aliases))


@cache
def _schedule_names() -> dict[str, ScheduleEntry]:
    known = [(alias, entry) for entry in schedules() for alias in (entry.name, *entry.aliases)]
    return _by_names([*((name, SCHEDULES[0]) for entry in schedules() for name in entry.listed), *known])


def _by_names(pairs: Iterable[tuple[str, E]]) -> dict[str, E]:
    return {name.casefold(): entry for name, entry in pairs}
