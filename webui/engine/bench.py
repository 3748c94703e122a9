"""Measures: what a generation costs beside its networks, how fast models are switched, what samplers add.

All figures are ratios within one run, so that they mean the same on every machine.
"""

# ruff: noqa: T201 - the command line speaks to people

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from webui import registry
from webui.base.paths import PROGRAM
from webui.engine.conditioning import TextCache
from webui.engine.generate import pictures
from webui.engine.memory import profile_of
from webui.engine.model_manager import ModelManager
from webui.engine.networks.embeddings import EmbeddingShelf
from webui.engine.training.config import CUDA_256
from webui.engine.training.export import sd1_tensors, write_checkpoint
from webui.engine.training.networks import build_text_tower, build_unet, build_vae
from webui.engine.watch import Cancel, Stopwatch, Viewing, Watch
from webui.request.engine_options import EngineOptions
from webui.request.fields import Txt2Img
from webui.request.plan import CheckpointRef, Picture, Plan
from webui.request.settings import RenderSettings

DEMO = PROGRAM / "models" / "Stable-diffusion" / "emoji-3d.safetensors"
OVERHEAD_LIMIT = 1.05
SAMPLER_LIMIT = 1.06
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


@dataclass
class Bench:
    """A model manager and a checkpoint to measure with."""

    models: ModelManager
    checkpoint: CheckpointRef
    cache: TextCache = field(default_factory=TextCache)
    shelf: EmbeddingShelf = field(default_factory=EmbeddingShelf)

    def generate(self, request: Txt2Img) -> Timing:
        """One batch of the request."""
        stopwatch = Stopwatch(self.models.profile.device)
        watch = Watch("bench", lambda _event: None, Cancel(), Viewing(), stopwatch)
        plan = Plan((_batch(request),), self.checkpoint)
        self.cache.forget()
        start = time.perf_counter()
        with torch.inference_mode():
            for _ in pictures(plan, self.models, self.cache, self.shelf, watch):
                pass
        return Timing(time.perf_counter() - start, stopwatch.seconds)


def _batch(request: Txt2Img) -> tuple[Picture, ...]:
    render = RenderSettings()
    return tuple(Picture(request, render, request.seed + i, 0, i) for i in range(request.batch_size))


# ---------------------------------------------------------------- measures


def overhead(bench: Bench, repeats: int = 3) -> float:
    """The time of a generation of 20 steps at batch 4 over that of its UNet and VAE alone: the median."""
    request = Txt2Img(prompt="a red apple", steps=20, batch_size=4, width=SIZE, height=SIZE, seed=1)
    bench.generate(request.changed(steps=2))
    return statistics.median(bench.generate(request).ratio for _ in range(repeats))


def samplers(bench: Bench, steps: int = 10) -> dict[str, float]:
    """Per sampler: the time of a generation at batch 1 over that of its networks."""
    request = Txt2Img(prompt="a red apple", steps=steps, width=SIZE, height=SIZE, seed=1)
    bench.generate(request.changed(steps=2))
    ratios = {}
    for entry in registry.samplers():
        ratios[entry.name] = min(bench.generate(request.changed(sampler_name=entry.name)).ratio for _ in range(3))
    return ratios


@dataclass(frozen=True)
class Swap:
    """Seconds to a model that can be used, and to the bytes of its file."""

    from_disk: float
    resident: float
    reading: float


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
    reading = _fastest(lambda: [Path(ref.path).read_bytes() for ref in both], repeats) / 2
    return Swap(from_disk, resident, reading)


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
    shape = CUDA_256.networks
    tensors = sd1_tensors(build_unet(shape), build_vae(shape), build_text_tower(shape))
    write_checkpoint(path, tensors, 256)
    return path


@contextmanager
def checkpoints(wanted: list[Path]) -> Iterator[list[CheckpointRef]]:
    """Two checkpoints: those asked for, else the demo checkpoint, else stand-ins of its shape."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [path for path in [*wanted, DEMO] if path.is_file()]
        while len(paths) < 2:
            paths.append(stand_in(Path(folder) / f"stand-in-{len(paths)}.safetensors"))
        yield [reference(path) for path in paths]


def main(argv: list[str]) -> int:
    """Run the measures named (all by default) and print their ratios; 1 where one is over its limit."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="overhead|swap|samplers")
    parser.add_argument("--checkpoint", action="append", default=[], type=Path, help="a file to measure with")
    parser.add_argument("--use-cpu", action="store_true", help="measure on the CPU")
    parser.add_argument("--no-half", action="store_true", help="in 32 bits")
    chosen = parser.parse_args(argv)
    wanted = chosen.measures or ["overhead", "swap", "samplers"]
    if unknown := set(wanted) - {"overhead", "swap", "samplers"}:
        parser.error(f"there is no measure {', '.join(sorted(unknown))}")
    options = EngineOptions(device="cpu" if chosen.use_cpu else "", no_half=chosen.no_half)
    within = True
    with checkpoints(chosen.checkpoint) as (first, other, *_):
        bench = Bench(ModelManager(profile_of(options)), first)
        info = bench.models.profile.info()
        print(f"{first.name} on {info.name} ({info.device}, {info.dtype}, {torch.get_num_threads()} threads)")
        if "overhead" in wanted:
            ratio = overhead(bench)
            within &= ratio <= OVERHEAD_LIMIT
            print(f"overhead   {ratio:.3f}   generation over networks, 20 steps, batch 4; limit {OVERHEAD_LIMIT}")
        if "swap" in wanted:
            times = swap(bench, other)
            print(f"swap       {times.resident / times.reading:.3f}   resident, over reading the file's bytes")
            ratio = times.from_disk / times.reading
            print(f"swap       {ratio:.2f}   from disk ({times.from_disk:.2f} s), over reading them")
        if "samplers" in wanted:
            for name, ratio in samplers(bench).items():
                within &= ratio <= SAMPLER_LIMIT
                print(f"samplers   {ratio:.3f}   {name}; limit {SAMPLER_LIMIT}")
    return 0 if within else 1
