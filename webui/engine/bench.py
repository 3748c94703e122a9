"""Measures: what a generation costs beside its networks, how fast models are switched, what samplers add.

All figures are ratios within one run, so that they mean the same on every machine.
"""

# ruff: noqa: T201 - the command line speaks to people

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file

from webui import registry
from webui.base.errors import ModelError, UserError
from webui.base.paths import PACKAGES, PROGRAM
from webui.catalog.detector_files import PACKAGED
from webui.catalog.packaged import COMMAND
from webui.engine.batch import Batch, Services, stepwise
from webui.engine.conditioning import TextCache
from webui.engine.detectors.by_name import look
from webui.engine.families.ldm_model import LdmModel
from webui.engine.generate import Tools, first_pass, pictures
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.passes import features_of
from webui.engine.previews import cheap
from webui.engine.residents import Residents
from webui.engine.stand_ins import sd15
from webui.engine.throughput import Measured, Speeds, speeds
from webui.engine.training.config import Networks
from webui.engine.training.export import sd1_tensors, write_checkpoint
from webui.engine.training.networks import build_text_tower, build_unet, build_vae
from webui.engine.upscaler_shelf import UPSCALER, UpscalerShelf
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.features.controlnet.parameters import Params as ControlParams
from webui.features.detailer.parameters import PaintedPart
from webui.features.detailer.parameters import Params as DetailParams
from webui.features.feature import FeatureParams
from webui.request.engine_options import EngineOptions
from webui.request.fields import Generation, Txt2Img
from webui.request.model_ref import ModelRef
from webui.request.plan import GIVEN, GIVEN_MASK, CheckpointRef, Picture, Plan, UpscalerRef, Wish, wished
from webui.request.settings import RenderSettings
from webui.request.tiles import tiles_of

DEMO = PROGRAM / "models" / "Stable-diffusion" / "emoji-3d.safetensors"
OVERHEAD_LIMIT = 1.05
SAMPLER_LIMIT = 1.06
FILM_LIMIT = 1.1
CONTROL_LIMIT = 1.03
DETAIL_LIMIT = 1.05
UPSCALE_LIMIT = 1.05
LOOK_LIMIT = 150.0
"""Milliseconds that a detector may look at a picture."""
X4PLUS = "RealESRGAN_x4plus.safetensors"
SIZE = 128
"""Of the pictures, in pixels: the smaller, the heavier weighs what is not network."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one generation: all of it, inside the networks, and how often the UNet was asked."""

    whole: float
    networks: float

    @property
    def ratio(self) -> float:
        return self.whole / self.networks


@dataclass(frozen=True)
class Unit:
    """A unit of a feature, and what it needs of the plan."""

    params: FeatureParams
    images: Mapping[str, bytes] = field(default_factory=dict)
    inner: tuple[Plan, ...] = ()


@dataclass
class Bench:
    """A model manager and a checkpoint to measure with."""

    models: ModelManager
    checkpoint: CheckpointRef
    cache: TextCache = field(default_factory=TextCache)
    shelf: EmbeddingShelf = field(default_factory=EmbeddingShelf)

    def generate(self, request: Txt2Img, *, known: bool = False, unit: Unit | None = None) -> Timing:
        """One batch of the request. known: its prompts have been read for the picture before. unit: of a feature."""
        stopwatch = Stopwatch(self.models.profile.device)
        watch = Watch("bench", lambda _event: None, Cancel(), Viewing(), stopwatch)
        batch = _batch(request)
        if unit is not None:
            wish = Wish(unit.params.title, 0, unit.params)
            batch = tuple(replace(picture, wishes=(*picture.wishes, wish)) for picture in batch)
        plan = Plan((batch,), self.checkpoint)
        if unit is not None:
            plan = replace(plan, images=unit.images, inner=unit.inner)
        if not known:
            self.cache.forget()
        start = time.perf_counter()
        with torch.inference_mode():
            for _ in pictures(plan, Tools(self.models, self.cache, self.shelf, watch, residents=self.models.residents)):
                pass
        return Timing(time.perf_counter() - start, stopwatch.seconds)

    def sample(self, request: Txt2Img) -> None:
        """The request's latents, which nobody decodes."""
        stopwatch = Stopwatch(self.models.profile.device)
        watch = Watch("bench", lambda _event: None, Cancel(), Viewing(), stopwatch)
        services = Services(watch, self.cache, {}, cheap)
        with torch.inference_mode(), self.models.lend(self.checkpoint, None) as loaded:
            batch = Batch(_batch(request))
            first_pass(features_of(batch.pictures[0]), batch, stepwise(loaded), services)


def _batch(request: Generation) -> tuple[Picture, ...]:
    render = RenderSettings()
    wishes = wished(request, render)
    first = next(iter(request.begins_with), "")
    return tuple(
        Picture(request, render, request.seed + i, 0, i, init_image=first, wishes=wishes)
        for i in range(request.batch_size)
    )


# ---------------------------------------------------------------- measures


def overhead(bench: Bench, repeats: int = 3) -> float:
    """The time of a generation of 20 steps at batch 4 over that of its UNet and VAE alone: the median."""
    request = Txt2Img(prompt="a red apple", steps=20, batch_size=4, width=SIZE, height=SIZE, seed=1)
    bench.generate(request.changed(steps=2))
    return statistics.median(bench.generate(request).ratio for _ in range(repeats))


def film(bench: Bench, repeats: int = 3) -> float:
    """The time of a generation that is filmed over that of one that is not: of each the fastest."""
    request = Txt2Img(prompt="a red apple", steps=20, width=2 * SIZE, height=2 * SIZE, seed=1)
    bench.generate(request.changed(steps=2))
    plain, filmed = [], []
    for _ in range(repeats):
        plain.append(bench.generate(request).whole)
        filmed.append(bench.generate(request.changed(show_film=True)).whole)
    return min(filmed) / min(plain)


def control(bench: Bench, folder: Path, repeats: int = 3) -> float:
    """The time of a generation with a unit of ControlNet, 20 steps at batch 4, over that of its networks alone (UNet,
    control network, VAE): the median. folder: for a control network of the checkpoint's shape with random weights."""
    with bench.models.lend(bench.checkpoint, None) as loaded:
        unet = loaded.model.parts["unet"]
        if not isinstance(unet, UNet2DConditionModel):
            raise UserError(f"{bench.checkpoint.name} is of a family that the measure does not know.")
        path = controlnet_for(unet, folder / "random.safetensors")
    edges = io.BytesIO()
    Image.new("RGB", (2 * SIZE, 2 * SIZE), "white").save(edges, "PNG")
    network = ModelRef(str(path), path.stem)
    unit = Unit(ControlParams(image="edges", model=path.stem, network=network), {"edges": edges.getvalue()})
    request = Txt2Img(prompt="a red apple", steps=20, batch_size=4, width=2 * SIZE, height=2 * SIZE, seed=1)
    bench.generate(request.changed(steps=2), unit=unit)
    return statistics.median(bench.generate(request, unit=unit).ratio for _ in range(repeats))


def detail(bench: Bench, repeats: int = 3) -> float:
    """The time of a generation of 20 steps in which one thing is painted anew over that of its networks alone (UNet and
    VAE of both, and the detector, which has a limit of its own): the median.

    Raises:
        ModelError: the detector was not fetched.
    """
    request = Txt2Img(prompt="a red apple", steps=20, width=2 * SIZE, height=2 * SIZE, seed=1)
    params = DetailParams(ad_confidence=0.0, ad_mask_k=1, detector=ModelRef("", "face"), parts=(PaintedPart(0),))
    ((asked, _),) = params.requests(request)
    inner = Plan((_batch(asked.changed(init_images=(GIVEN,), mask=GIVEN_MASK)),), bench.checkpoint)
    unit = Unit(params, inner=(inner,))
    bench.generate(request.changed(steps=2), unit=unit)
    return statistics.median(bench.generate(request, unit=unit).ratio for _ in range(repeats))


def looks(residents: Residents, side: int = 512, repeats: int = 7) -> dict[str, float]:
    """Per packaged detector: milliseconds until it has looked at a picture, the fastest. Raises ModelError."""
    levels = np.random.default_rng(1).integers(0, 256, (side // 16, side // 16, 3)).astype(np.uint8)
    picture = np.asarray(Image.fromarray(levels).resize((side, side), Image.Resampling.BICUBIC))
    found = {}
    for name in PACKAGED:
        look_once = partial(look, ModelRef("", name), residents, picture, 0.3)
        look_once()
        found[name] = 1000 * _fastest(look_once, repeats)
    return found


def upscale(models: ModelManager, path: Path, side: int = 256) -> float:
    """The time until a picture is four times as large, from pixels to pixels, over that of the network alone."""
    levels = np.random.default_rng(1).integers(0, 256, (side // 8, side // 8, 3)).astype(np.uint8)
    picture = Image.fromarray(levels).resize((side, side), Image.Resampling.BICUBIC)
    ref = UpscalerRef(path.stem, str(path))
    enlarge = UpscalerShelf(models.residents).enlargers(
        {"x4": ref}, tiles_of(RenderSettings()), lambda _done, _of: None
    )["x4"]
    times: list[float] = []
    with torch.inference_mode(), models.residents.lend(UPSCALER, ref.model) as upscaler:
        enlarge(picture.resize((16, 16)), 4.0)
        begun = upscaler.network.register_forward_pre_hook(lambda *_: times.append(-time.perf_counter()))
        ended = upscaler.network.register_forward_hook(lambda *_: times.append(time.perf_counter()))
        start = time.perf_counter()
        enlarge(picture, 4.0)
        whole = time.perf_counter() - start
        begun.remove()
        ended.remove()
    return whole / sum(times)


def samplers(bench: Bench, steps: int = 10) -> dict[str, float]:
    """Per sampler: the time of a generation at batch 1, its prompts known, over that of its networks."""
    request = Txt2Img(prompt="a red apple", steps=steps, width=SIZE, height=SIZE, seed=1)
    bench.generate(request.changed(steps=2))
    ratios = {}
    for entry in registry.samplers():
        ratios[entry.name] = min(
            bench.generate(request.changed(sampler_name=entry.name), known=True).ratio for _ in range(3)
        )
    return ratios


@dataclass(frozen=True)
class Swap:
    """Seconds to a model that can be used, and what they cannot fall below."""

    from_disk: float
    resident: float
    reading: float
    """The bytes of the file, all in one."""
    copying: float
    """The weights to the device, in the precision that they have there, into memory that is taken for it: a loader
    cannot write where the model before still stands, and the first touch of memory costs more than the copy."""

    @property
    def disk_ratio(self) -> float:
        return self.from_disk / (self.reading + self.copying)

    @property
    def resident_ratio(self) -> float:
        """Where models stay on the device, or the device is the host, nothing is copied and this says little."""
        return self.resident / self.copying


def swap(bench: Bench, other: CheckpointRef, repeats: int = 5) -> Swap:
    """Switching between two checkpoints, in memory and from disk, and reading one's bytes (all from the page cache)."""
    models = bench.models
    both = (bench.checkpoint, other)

    def switch() -> None:
        for ref in both:
            models.preload(ref, None)

    models.configure(2, 2**40)
    with torch.inference_mode():
        switch()
        resident = _fastest(switch, repeats) / 2
        models.configure(1, 2**40)
        from_disk = _fastest(switch, repeats) / 2
        models.unload()
    reading = _fastest(lambda: [_bytes_of(Path(ref.path)) for ref in both], repeats) / 2
    return Swap(from_disk, resident, reading, _copying(models, bench.checkpoint, repeats))


def _bytes_of(path: Path) -> bytearray:
    """Read into memory of its own, as a loader does."""
    content = bytearray(path.stat().st_size)
    with path.open("rb", buffering=0) as stream:
        stream.readinto(content)
    return content


def _copying(models: ModelManager, checkpoint: CheckpointRef, repeats: int) -> float:
    """Seconds of one copy of a model's weights from the host's memory to the device."""
    with torch.inference_mode(), models.lend(checkpoint, None) as loaded:
        amount, device = loaded.model.nbytes, loaded.model.device
    models.unload()
    host = torch.zeros(amount, dtype=torch.uint8)

    def copy() -> None:
        host.to(device, copy=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return _fastest(copy, repeats)


def growth(models: ModelManager, checkpoints: list[CheckpointRef], switches: int = 50) -> int:
    """Bytes that the process holds more after all switches among the checkpoints than after the first ten."""
    process, held = psutil.Process(), 0
    models.configure(1, 2**40)
    with torch.inference_mode():
        for number in range(switches):
            models.preload(checkpoints[number % len(checkpoints)], None)
            if number == 9:
                held = process.memory_info().rss
    grown = int(process.memory_info().rss) - held
    models.unload()
    return grown


def _fastest(action: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


# ---------------------------------------------------------------- what to measure with


def reference(path: Path) -> CheckpointRef:
    return CheckpointRef(str(path), path.name, path.stem)


def stand_in(path: Path) -> Path:
    """A checkpoint of the demo model's shape with random weights."""
    torch.manual_seed(0)
    shape = Networks()
    tensors = sd1_tensors(build_unet(shape), build_vae(shape), build_text_tower(shape))
    write_checkpoint(path, tensors, 256)
    return path


def controlnet_for(unet: UNet2DConditionModel, path: Path) -> Path:
    """A ControlNet of this UNet's shape with random weights, in the names of diffusers."""
    from diffusers import ControlNetModel  # it imports half of transformers

    torch.manual_seed(0)
    network = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    save_file({name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}, path)
    return path


@contextmanager
def checkpoints(wanted: list[Path], count: int = 2) -> Iterator[list[CheckpointRef]]:
    """At least `count` checkpoints: those asked for, the demo checkpoint, stand-ins of its shape."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [path for path in [*wanted, DEMO] if path.is_file()]
        while len(paths) < count:
            paths.append(stand_in(Path(folder) / f"stand-in-{len(paths)}.safetensors"))
        yield [reference(path) for path in paths]


@contextmanager
def large_checkpoints(wanted: list[Path], count: int) -> Iterator[list[CheckpointRef]]:
    """Those asked for, and for the rest SD 1.5 checkpoints of 2.1 GB with random weights, made on the spot."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [path for path in wanted if path.is_file()]
        while len(paths) < count:
            paths.append(sd15(Path(folder) / f"random-{len(paths)}.safetensors"))
        yield [reference(path) for path in paths]


def speed(models: ModelManager, checkpoint: CheckpointRef, job: Measured) -> Speeds:
    """Our generation of the job beside the stock pipeline and the bare network."""
    bench = Bench(models, checkpoint)
    request = Txt2Img(
        prompt="a red apple",
        negative_prompt="a red apple",
        sampler_name="Euler",
        width=job.side,
        height=job.side,
        batch_size=job.batch,
        steps=job.steps,
        seed=1,
    )
    with torch.inference_mode(), models.lend(checkpoint, None) as loaded:
        if not isinstance(loaded.model, LdmModel):
            raise UserError(f"{checkpoint.name} is of a family that the measure does not know.")
        return speeds(loaded.model, lambda: bench.sample(request), job)


MEASURES = ("overhead", "film", "control", "detail", "upscale", "swap", "samplers", "cpu", "gpu")
SWAP_LIMIT = 1.3
FLAT = 100 * 2**20
"""Bytes by which 50 switches may let the process grow."""


def main(argv: list[str]) -> int:
    """Run the measures named (overhead, swap and samplers by default), print their ratios; 1: one is over its limit."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="|".join(MEASURES))
    parser.add_argument("--checkpoint", action="append", default=[], type=Path, help="a file to measure with")
    parser.add_argument("--use-cpu", action="store_true", help="measure on the CPU")
    parser.add_argument("--no-half", action="store_true", help="in 32 bits")
    parser.add_argument("--side", type=int, default=0, help="of the pictures of cpu and gpu, in pixels")
    parser.add_argument("--steps", type=int, default=0, help="of cpu and gpu")
    chosen = parser.parse_args(argv)
    wanted = chosen.measures or ["overhead", "swap", "samplers"]
    if unknown := set(wanted) - set(MEASURES):
        parser.error(f"there is no measure {', '.join(sorted(unknown))}")
    options = EngineOptions(device="cpu" if chosen.use_cpu else "", no_half=chosen.no_half)
    within = True
    if {"overhead", "film", "control", "detail", "samplers"} & set(wanted):
        with checkpoints(chosen.checkpoint) as (first, *_):
            within &= _print_generations(Bench(ModelManager(profile_of(options)), first), wanted)
    if "upscale" in wanted:
        within &= _print_upscale(ModelManager(profile_of(options)))
    if "swap" in wanted:
        with large_checkpoints(chosen.checkpoint, 2) as refs:
            within &= _print_swap(ModelManager(profile_of(options)), refs)
        with checkpoints([], 3) as refs:
            within &= _print_growth(ModelManager(profile_of(options)), refs)
    for measure in ("cpu", "gpu"):
        if measure in wanted:
            _print_speed(measure, chosen.checkpoint, Measured(chosen.side, 1, chosen.steps))
    return 0 if within else 1


def _print_generations(bench: Bench, wanted: Sequence[str]) -> bool:
    """Those measures that make pictures with a checkpoint."""
    within = True
    _print_machine(bench.models, bench.checkpoint.name)

    def tell(name: str, ratio: float, limit: float, what: str) -> None:
        nonlocal within
        within &= ratio <= limit
        print(f"{name:<10} {ratio:.3f}   {what}; limit {limit}", flush=True)

    if "overhead" in wanted:
        tell("overhead", overhead(bench), OVERHEAD_LIMIT, "generation over networks, 20 steps, batch 4")
    if "film" in wanted:
        tell("film", film(bench), FILM_LIMIT, f"filmed over not, 20 steps of {2 * SIZE} pixels")
    if "control" in wanted:
        with tempfile.TemporaryDirectory() as folder:
            tell("control", control(bench, Path(folder)), CONTROL_LIMIT, "with a ControlNet over the networks alone")
    if "detail" in wanted:
        tell("detail", detail(bench), DETAIL_LIMIT, "with a thing painted anew over the networks alone, 20 steps each")
        for name, milliseconds in looks(bench.models.residents).items():
            within &= milliseconds <= LOOK_LIMIT
            print(f"detail     {milliseconds:3.0f} ms  {name}, looked for in 512 x 512 pixels; limit {LOOK_LIMIT:g} ms")
    if "samplers" in wanted:
        for name, ratio in samplers(bench).items():
            tell("samplers", ratio, SAMPLER_LIMIT, name)
    return within


def _print_upscale(models: ModelManager) -> bool:
    """Raises ModelError: the upscaler was not fetched."""
    path = PACKAGES / X4PLUS
    if not path.is_file():
        raise ModelError(f"{X4PLUS} is not there to measure with.", hint=f"Fetch it with: {COMMAND}")
    _print_machine(models, X4PLUS)
    ratio = upscale(models, path)
    print(f"upscale    {ratio:.3f}   256 pixels four times as large over the network alone; limit {UPSCALE_LIMIT}")
    return ratio <= UPSCALE_LIMIT


def _print_machine(models: ModelManager, name: str) -> None:
    info = models.profile.info()
    print(f"{name} on {info.name} ({info.device}, {info.dtype}, {torch.get_num_threads()} threads)", flush=True)


def _print_swap(models: ModelManager, refs: list[CheckpointRef]) -> bool:
    """Of the first two checkpoints."""
    _print_machine(models, f"{Path(refs[0].path).stat().st_size / 1e9:.1f} GB")
    times = swap(Bench(models, refs[0]), refs[1], repeats=3)
    reading, copying = f"reading {times.reading:.2f} s", f"copying to the device {times.copying:.2f} s"
    print(f"swap       {times.disk_ratio:.2f}   from disk {times.from_disk:.2f} s; {reading} and {copying}")
    print(f"swap       {times.resident_ratio:.3f}   resident {times.resident:.3f} s; {copying}; limit {SWAP_LIMIT}")
    if models.profile.device.type == "cpu":
        print("           (here a resident model is where it computes: nothing is copied)")
    return max(times.disk_ratio, times.resident_ratio) <= SWAP_LIMIT


def _print_growth(models: ModelManager, refs: list[CheckpointRef]) -> bool:
    grown = growth(models, refs)
    size = Path(refs[0].path).stat().st_size
    print(f"swap       {grown / 2**20:+.0f} MB   after 50 switches among {len(refs)} models of {size / 2**20:.0f} MB")
    return grown < min(FLAT, size)


def _print_speed(measure: str, wanted: list[Path], asked: Measured) -> None:
    """On a GPU at batch 1 and 4, on the CPU in 32 bits and in what suits it."""
    if measure == "gpu" and not torch.cuda.is_available():
        print("gpu        there is no CUDA device here")
        return
    on_gpu = measure == "gpu"
    # (in 32 bits, batch, with recorded calls)
    on_gpu_runs = [(False, 1, False), (False, 1, True), (False, 4, False), (False, 4, True)]
    runs = on_gpu_runs if on_gpu else [(True, 1, False), (False, 1, False)]
    if not on_gpu and profile_of(EngineOptions(device="cpu")).half == torch.float32:
        print("cpu        this processor has no bfloat16: 32 bits alone are measured", flush=True)
        del runs[1]
    with large_checkpoints(wanted, 1) as refs:
        for ref in refs:
            for full, batch, graphs in runs:
                options = EngineOptions(device="" if on_gpu else "cpu", no_half=full, graphs=graphs)
                models = ModelManager(profile_of(options))
                _print_machine(models, ref.name)
                job = Measured(asked.side or (512 if on_gpu else 256), batch, asked.steps or (20 if on_gpu else 2))
                found = speed(models, ref, job)
                print(
                    f"{measure}        {found.over_stock:.2f}   over diffusers' pipeline, {found.of_bare:.2f} of the"
                    f" bare network; {found.ours:.2f} it/s at {job.side} x {job.side}, batch {batch}"
                    f"{', --cuda-graphs' if graphs else ''}",
                    flush=True,
                )
