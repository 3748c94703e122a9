"""FreeU in a UNet's decoder: backbone features are amplified, the low frequencies of skipped ones are weakened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from webui.engine.batch import Loaded
from webui.engine.denoisers import Ask, Call
from webui.engine.feature import FeatureEngine, PassContext, PassFeature
from webui.features.freeu.parameters import Params

Strengths = tuple[float, float]
"""(b, s) of a stage."""
RADIUS = 1
"""Of the square of low frequencies, on each side of zero."""


def amplified(hidden: Tensor, b: float) -> Tensor:
    """Half of the channels of (rows, c, h, w) times up to b, by the mean over channels where it is large: eq. 4."""
    mean = hidden.mean(dim=1, keepdim=True)
    low, high = mean.amin(dim=(2, 3), keepdim=True), mean.amax(dim=(2, 3), keepdim=True)
    share = (mean - low) / (high - low).clamp(min=1e-6)
    half = hidden.shape[1] // 2
    return torch.cat([hidden[:, :half] * ((b - 1) * share + 1), hidden[:, half:]], dim=1)


def filtered(skipped: Tensor, s: float) -> Tensor:
    """(rows, c, h, w) with its low frequencies times s: eq. 5 to 7."""
    spectrum = torch.fft.fftshift(torch.fft.fftn(skipped.float(), dim=(-2, -1)), dim=(-2, -1))
    middle_y, middle_x = skipped.shape[-2] // 2, skipped.shape[-1] // 2
    rows = slice(max(middle_y - RADIUS, 0), middle_y + RADIUS)
    columns = slice(max(middle_x - RADIUS, 0), middle_x + RADIUS)
    spectrum[..., rows, columns] *= s
    back: Tensor = torch.fft.ifftn(torch.fft.ifftshift(spectrum, dim=(-2, -1)), dim=(-2, -1)).real
    return back.to(skipped.dtype)


@contextmanager
def freed(unet: nn.Module, stages: tuple[Strengths, Strengths], acts: Callable[[], bool]) -> Iterator[None]:
    """Within the block the first two stages of the decoder weigh so what comes to them, while it `acts`.

    Each stage's layers are given the hidden features and the skipped ones side by side; how many are skipped, the
    stage is told. Compiled blocks run as they are written.
    """
    decoder = list(dict(unet.named_children()).get("up_blocks", nn.ModuleList()).children())
    with ExitStack() as hooks, torch.compiler.set_stance("force_eager"):
        for stage, strengths in zip(decoder, stages, strict=False):
            skips: list[int] = []
            hooks.callback(stage.register_forward_pre_hook(_noting(skips), with_kwargs=True).remove)
            for layer in stage.get_submodule("resnets").children():
                hooks.callback(layer.register_forward_pre_hook(_weighing(skips, strengths, acts)).remove)
        yield


def _noting(skips: list[int]) -> Callable[..., None]:
    def before(_stage: nn.Module, args: tuple[Sequence[Tensor], ...], kwargs: dict[str, Sequence[Tensor]]) -> None:
        skipped = kwargs["res_hidden_states_tuple"] if "res_hidden_states_tuple" in kwargs else args[1]
        skips[:] = [each.shape[1] for each in skipped]  # its layers take the last one first

    return before


def _weighing(skips: list[int], strengths: Strengths, acts: Callable[[], bool]) -> Callable[..., tuple[Tensor, ...]]:
    b, s = strengths

    def before(_layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        both = args[0]
        count = skips.pop()
        if not acts():
            return args
        hidden, skipped = both[:, :-count], both[:, -count:]
        return (torch.cat([amplified(hidden, b), filtered(skipped, s)], dim=1), *args[1:])

    return before


class Freeing(PassFeature):
    def __init__(self, params: Params) -> None:
        self.params = params
        self.acts = True

    def patch(self, loaded: Loaded) -> AbstractContextManager[None]:
        unet, p = loaded.model.parts.get("unet"), self.params
        return nullcontext() if unet is None else freed(unet, ((p.b1, p.s1), (p.b2, p.s2)), lambda: self.acts)

    def predict(self, ask: Ask) -> Ask:
        def asked(call: Call) -> Tensor:
            self.acts = self.params.start <= call.number / call.total <= self.params.end
            return ask(call)

        return asked


class Engine(FeatureEngine[Params]):
    def begin(self, context: PassContext) -> PassFeature | None:
        return Freeing(self.params)
