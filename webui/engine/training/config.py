"""What the demo model is and how it is trained: every number of it, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

VOCABULARY = 49408
TOKENS = 77
START_TOKEN, END_TOKEN = 49406, 49407
LATENT_SCALE = 0.18215
"""SD1's factor between the encoder's mean and the latents that the UNet sees."""
UNET_HEADS = 8
"""SD1's head count, at every width: it cannot be read from shapes, so that it must be the convention."""
TEXT_HEAD_WIDTH = 64
"""CLIP's width of a head; the head count follows from the width."""


def groups(widths: tuple[int, ...]) -> int:
    """Groups of a network's group norms: SD1's 32, but never fewer than SD1's own four channels in a group.

    A norm over fewer channels forgets the level of flat surfaces: coloured backgrounds are lost.
    """
    return min(32, min(widths) // 4)


@dataclass(frozen=True)
class Networks:
    """Widths and depths. Everything else is SD1's convention, but that a latent stands for 16x16 pixels: then 256
    pixels cost the UNet what 128 cost with SD1's 8x8."""

    vae_widths: tuple[int, ...] = (16, 32, 64, 128, 128)
    vae_depth: int = 1
    latent_channels: int = 16
    unet_widths: tuple[int, ...] = (128, 256, 256)
    unet_attention: tuple[bool, ...] = (False, True, True)
    """Which levels of the UNet read the text."""
    unet_depth: int = 1
    text_width: int = 192
    text_layers: int = 4
    text_widening: int = 4
    """How many times wider the text tower's hidden layers are."""

    @property
    def factor(self) -> int:
        """Pixels along either side of what a latent stands for."""
        return int(2 ** (len(self.vae_widths) - 1))


@dataclass(frozen=True)
class TrainingPace:
    """How something is trained. A lesson is one picture seen once; a crop of half its sides is one, too, in a VAE."""

    lessons: int
    rate: float
    batch: int
    span: int = 20_000
    """Lessons over which the weights are averaged."""
    warmup: int = 2_000
    """Lessons in which the rate rises, at the beginning and at each restart."""
    restarts: int = 0
    """How often the rate falls to nothing and rises again; each part is as long as all before it."""
    seconds: float = math.inf
    """It ends after so long, too, with a rate that has fallen."""


@dataclass(frozen=True)
class VaeTraining(TrainingPace):
    lessons: int = 60_000
    rate: float = 6.0e-4
    batch: int = 8
    """Crops of half the sides in a step; every second step takes a quarter as many whole pictures."""
    span: int = 8_000
    kl_weight: float = 2.0e-4


@dataclass(frozen=True)
class TextTraining(TrainingPace):
    """Before the UNet: the text tower alone, see `denoiser.teach_text`."""

    lessons: int = 250_000
    rate: float = 1.5e-3
    batch: int = 64
    warmup: int = 6_000
    renewed: float = 0.02
    """New scenes painted for each lesson; each takes the place of an old one."""


@dataclass(frozen=True)
class DenoiserTraining(TrainingPace):
    lessons: int = 2_700_000
    rate: float = 8.0e-4
    batch: int = 32
    span: int = 100_000
    warmup: int = 6_000
    restarts: int = 4
    renewed: float = 0.12
    """New scenes painted for each lesson: each is seen about three times."""
    text_share: float = 0.2
    """Of `rate`: how fast the text tower still learns along with the UNet. 0 would spare its backward pass, but with it
    the right things come much sooner."""
    weight_decay: float = 0.01
    plain_pictures: float = 0.65
    """Share of plain emoji on white among the lessons; the rest are composed scenes."""
    empty_captions: float = 0.1


@dataclass(frozen=True)
class FinishTraining(TrainingPace):
    """At last: the decoder once more, on the denoiser's own latents, for pictures that look true to an adversary."""

    lessons: int = 24_000
    rate: float = 2.0e-4
    batch: int = 8
    span: int = 4_000
    pictures: int = 1600
    highest: int = 500
    """Of the schedule's 1000 steps: from where, at most, the latents are denoised."""
    denoising_steps: int = 4
    perceptual: float = 0.4
    adversarial: float = 0.05
    adversary_rate: float = 2.0e-4
    adversary_alone: int = 2_000
    """Lessons at the beginning in which only the adversary learns from its part."""


@dataclass(frozen=True)
class Training:
    """One run of `train-demo`."""

    size: int = 256
    seed: int = 20240613
    composed: int = 6_000
    """Composed scenes whose latents are at hand at one time."""
    together: int = 16
    """Pictures that are painted and encoded at once."""
    networks: Networks = field(default_factory=Networks)
    vae: VaeTraining = field(default_factory=VaeTraining)
    text: TextTraining = field(default_factory=TextTraining)
    denoiser: DenoiserTraining = field(default_factory=DenoiserTraining)
    finish: FinishTraining = field(default_factory=FinishTraining)


ON_CPU = Training()
ON_CUDA = Training(
    composed=20_000,
    together=64,
    vae=VaeTraining(lessons=600_000, batch=64, rate=8.0e-4),
    text=TextTraining(lessons=1_500_000, batch=512),
    denoiser=DenoiserTraining(lessons=4_000_000, batch=512, rate=1.5e-3, restarts=0),
    finish=FinishTraining(lessons=120_000, batch=32, pictures=4000),
)
"""The same networks, for a large card: about half an hour of it, see `in_minutes` for less."""
SHARES = {"vae": 0.28, "text": 0.08, "denoiser": 0.48, "finish": 0.16}
"""Of the minutes that a run may take."""


def in_minutes(training: Training, minutes: float) -> Training:
    """The same, done after so many minutes, whatever has been learned by then."""
    limited = {
        stage: replace(getattr(training, stage), seconds=60 * minutes * share) for stage, share in SHARES.items()
    }
    return replace(training, **limited)
