"""Memory profiles: which is chosen where, and the laws that hold of all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.engine.memory_plan import Machine, MemoryProfile, ModelSize, Wishes, ladder, peak, plan
from webui.features.tiled_diffusion.parameters import Params
from webui.request.workload import Workload

GIB = 2**30
SD15 = ModelSize(
    int(1.6 * GIB), int(0.23 * GIB), int(0.16 * GIB), 802 * 2**20, 56 * 2**20, step=20480, scores=4096, decode=2048
)
SDXL = ModelSize(
    int(4.8 * GIB), int(1.5 * GIB), int(0.16 * GIB), 3089 * 2**20, 56 * 2**20, step=20480, scores=640, decode=2048
)
LARGE = Workload(1024, 1024)

sizes = st.integers(0, 16 * GIB)
models = st.builds(ModelSize, *[sizes] * 5, *[st.integers(1, 100_000)] * 3)
works = st.builds(Workload, st.integers(64, 4096), st.integers(64, 4096), st.integers(1, 16))
kinds = st.sampled_from(("cuda", "xpu", "mps", "cpu"))
wishes = st.builds(
    Wishes,
    st.sampled_from(("", "none", "medium", "low", "leaf")),
    st.sampled_from(("", "sdpa", "xformers", "sliced", "doggettx", "sub-quadratic")),
)


@given(kinds, sizes, sizes, models, works, wishes)
def test_more_memory_never_gives_a_leaner_profile(
    kind: str, less: int, more: int, model: ModelSize, work: Workload, wanted: Wishes
) -> None:
    less, more = sorted((less, more))
    rungs = ladder(Machine(kind, 0), wanted)
    with_less, with_more = (plan(Machine(kind, free), model, work, wanted) for free in (less, more))
    assert rungs.index(with_more) <= rungs.index(with_less)


@given(kinds, sizes, models, works, wishes)
def test_wishes_win(kind: str, free: int, model: ModelSize, work: Workload, wanted: Wishes) -> None:
    machine = Machine(kind, free)
    chosen = plan(machine, model, work, wanted)
    if wanted.offload:
        assert chosen.offload == (wanted.offload if machine.has_own_memory else "none")
    if wanted.attention:
        assert chosen.attention == wanted.attention


@given(kinds, sizes, models, works, wishes)
def test_what_is_chosen_fits_or_nothing_does(
    kind: str, free: int, model: ModelSize, work: Workload, wanted: Wishes
) -> None:
    machine = Machine(kind, free)
    fits = {rung: peak(rung, machine, model, work) <= free for rung in ladder(machine, wanted)}
    assert fits[plan(machine, model, work, wanted)] or not any(fits.values())


@pytest.mark.parametrize(
    ("kind", "free", "model", "work", "expected"),
    [
        ("cuda", 24 * GIB, SDXL, LARGE, MemoryProfile()),
        ("cuda", 8 * GIB, SDXL, LARGE, MemoryProfile("medium")),
        ("cuda", 5 * GIB, SDXL, LARGE, MemoryProfile("low")),
        ("cuda", 4 * GIB, SDXL, LARGE, MemoryProfile("leaf")),
        ("xpu", 8 * GIB, SDXL, LARGE, MemoryProfile("medium")),
        ("cuda", 4 * GIB, SD15, Workload(), MemoryProfile()),
        ("cuda", 5 * GIB // 2, SD15, Workload(), MemoryProfile("medium")),
        ("cuda", 4 * GIB, SD15, Workload(2048, 2048, 1), MemoryProfile("none", vae="tiled")),
        ("mps", 16 * GIB, SD15, Workload(), MemoryProfile()),
        ("mps", 10 * GIB, SD15, Workload(1024, 1024), MemoryProfile(attention="sliced")),
        ("cpu", 4 * GIB, SDXL, LARGE, MemoryProfile(vae="tiled")),
    ],
)
def test_known_machines(kind: str, free: int, model: ModelSize, work: Workload, expected: MemoryProfile) -> None:
    assert plan(Machine(kind, free), model, work) == expected


def test_a_large_picture_fits_a_small_card_in_tiles() -> None:
    """Tiled Diffusion's defaults: four tiles of 96 x 96 latents a call."""
    machine, whole = Machine("cuda", 6 * GIB), Workload(4096, 4096)
    tiled = Params().cost(whole)
    assert plan(machine, SD15, tiled) == MemoryProfile(vae="tiled")
    assert peak(MemoryProfile(vae="tiled"), machine, SD15, tiled) < 5 * GIB
    assert all(peak(rung, machine, SD15, whole) > machine.free for rung in ladder(machine))


def test_a_profile_is_told_in_a_sentence() -> None:
    assert MemoryProfile().sentence == "Everything on the device."
    lean = MemoryProfile("low", "sliced", "tiled").sentence
    assert lean == "The network was moved to the device block by block, attention in slices, the VAE worked in tiles."
