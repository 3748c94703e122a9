"""What the demo model is and how it is trained: every number of it, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    """Widths and depths. Everything else is SD1's convention."""

    vae_widths: tuple[int, ...] = (32, 64, 96, 128)
    vae_depth: int = 1
    unet_widths: tuple[int, ...] = (64, 128, 160)
    unet_attention: tuple[bool, ...] = (False, True, True)
    """Which levels of the UNet read the text."""
    unet_depth: int = 1
    text_width: int = 192
    text_layers: int = 4


@dataclass(frozen=True)
class Pace:
    rate: float
    ema: float = 0.998


@dataclass(frozen=True)
class VaeTraining(Pace):
    rate: float = 4.0e-4
    minutes: float = 40.0
    decoder_minutes: float = 12.0
    """After them: the decoder alone, the encoder as it is."""
    batch: int = 4
    """Crops of half the size in a step; every second step takes a quarter as many whole pictures."""
    kl_weight: float = 2.0e-4


@dataclass(frozen=True)
class DenoiserTraining:
    text_minutes: float = 60.0
    """Before all: the text tower alone, see `denoiser.teach_text`."""
    text_batch: int = 64
    text_rate: float = 1.5e-3
    text_share: float = 0.3
    """Of `rate`: how fast the text tower still learns along with the UNet. 0 would spare its backward pass, but with it
    the right things come much sooner: 61 % of the measured prompts without, 82 % after 46 minutes with."""
    minutes: float = 120.0
    batch: int = 16
    rate: float = 1.0e-3
    weight_decay: float = 0.01
    warmup_steps: int = 100
    plain_pictures: float = 0.75
    """Share of plain emoji on white among the lessons; the rest are composed scenes."""
    empty_captions: float = 0.1
    min_snr_gamma: float = 5.0
    ema: float = 0.996


@dataclass(frozen=True)
class FinishTraining(Pace):
    """At last: the decoder once more, on the denoiser's own latents."""

    rate: float = 2.0e-4
    minutes: float = 20.0
    pictures: int = 1600
    batch: int = 8
    """Crops of half the size in a step; every second step takes a quarter as many whole pictures."""
    highest: int = 500
    """Of the schedule's 1000 steps: from where, at most, the latents are denoised."""
    denoising_steps: int = 4


@dataclass(frozen=True)
class Training:
    """One run of `train-demo`."""

    size: int = 128
    seed: int = 20240613
    cached_pictures: int = 8000
    """Augmented pictures whose latents are cached, beside the plain ones."""
    networks: Networks = field(default_factory=Networks)
    vae: VaeTraining = field(default_factory=VaeTraining)
    denoiser: DenoiserTraining = field(default_factory=DenoiserTraining)
    finish: FinishTraining = field(default_factory=FinishTraining)


CPU_128 = Training()
CUDA_256 = Training(
    size=256,
    cached_pictures=60000,
    networks=Networks(vae_widths=(64, 96, 128, 128)),
    vae=VaeTraining(minutes=7, decoder_minutes=2, batch=32),
    denoiser=DenoiserTraining(text_minutes=1, text_share=0.1, minutes=15, batch=128),
    finish=FinishTraining(minutes=3, pictures=10000, batch=32),
)
