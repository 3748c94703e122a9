from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.engine.sampling import golden
from webui.engine.sampling.brownian import BrownianNoise, _Interval
from webui.engine.sampling.noise import ImageNoise, generator
from webui.engine.sampling.philox import Philox, normals

RECORDED = golden.latents("image_rng")
KINDS = ("CPU", "NV")


def draws(noise: ImageNoise, n: int) -> Tensor:
    return torch.stack([noise.first(), *(noise.next() for _ in range(n - 1))])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 12345, 4294967295, 4294967301])
def test_a_seed_gives_a1111s_numbers(kind, seed):
    got = draws(ImageNoise(kind, [seed], (4, 8, 12)), 3)[:, 0]
    assert torch.equal(got, RECORDED[f"{kind}.seed{seed}.8x12"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_a1111s_numbers(kind):
    assert torch.equal(draws(ImageNoise(kind, [10, 11, 12], (4, 8, 8)), 2), RECORDED[f"{kind}.batch3"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", ["0.2", "1.0"])
def test_variations_are_a1111s(kind, strength):
    noise = ImageNoise(kind, [5, 6], (4, 16, 16), subseeds=[77, 78], subseed_strength=float(strength))
    assert torch.equal(draws(noise, 2)[:, :, :2], RECORDED[f"{kind}.sub{strength}"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", ["64x64", "64x192", "192x96", "256x256", "130x100"])
def test_resized_seeds_are_a1111s(kind, size):
    height, width = (int(side) // 8 for side in size.split("x"))
    noise = ImageNoise(kind, [5], (4, 16, 16), resize_from=(height, width))
    assert torch.equal(draws(noise, 2)[:, :, :2], RECORDED[f"{kind}.resize{size}"])


@pytest.mark.parametrize("kind", KINDS)
def test_ensd_changes_all_draws_but_the_first(kind):
    assert torch.equal(draws(ImageNoise(kind, [5, 6], (4, 8, 8), ensd=31337), 3), RECORDED[f"{kind}.ensd31337"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_does_not_depend_on_its_neighbours(kind):
    alone, among = (draws(ImageNoise(kind, seeds, (4, 8, 8)), 3) for seeds in ([7], [5, 6, 7]))
    assert torch.equal(alone[:, 0], among[:, 2])


def test_a_missing_subseed_counts_as_zero():
    few, all_of_them = (
        ImageNoise("CPU", [5, 6], (4, 8, 8), subseeds=subseeds, subseed_strength=0.5).first()
        for subseeds in ([3], [3, 0])
    )
    assert torch.equal(few, all_of_them)


def test_philox_numbers_do_not_depend_on_how_many_are_drawn():
    few, many = Philox(3).normal((100,)), Philox(3).normal((3, 20000))
    assert torch.equal(few, many.flatten()[:100])


def test_philox_gives_what_torch_gives_on_cuda():
    """torch.manual_seed(0); torch.randn(12, device="cuda"), as printed."""
    printed = [-0.9247, -0.4253, -2.6438, 0.1452, -0.1209, -0.5797, -0.6229, -0.3284, -1.0745, -0.3631, -1.6711, 2.2655]
    assert Philox(0).normal((12,)).tolist() == pytest.approx(printed, abs=6e-5)


def test_philox_numbers_are_normal():
    numbers = Philox(1).normal((200, 500)).double()
    assert float(numbers.mean()) == pytest.approx(0, abs=0.01)
    assert float(numbers.std()) == pytest.approx(1, abs=0.01)
    assert float((numbers**4).mean()) == pytest.approx(3, abs=0.1)


def test_many_philox_seeds_at_once_are_each_of_them():
    seeds = [1, 2**40 + 5, 2**64 - 1]
    together = normals(seeds, (2, 3), "cpu")
    assert torch.equal(together, torch.stack([Philox(seed).normal((2, 3)) for seed in seeds]))


# ---------------------------------------------------------------- Brownian paths


def brownian(seeds: list[int], **options: bool) -> BrownianNoise:
    return BrownianNoise("CPU", seeds, (4, 8, 8), 0.0292, 14.6146, **options)


@pytest.mark.parametrize("seeds", [[1], [12345], [5, 6]], ids=str)
def test_brownian_draws_are_a1111s(seeds):
    noise, prefix = brownian(seeds), f"seeds{'_'.join(map(str, seeds))}."
    cases = {key[len(prefix) :]: wanted for key, wanted in golden.latents("brownian").items() if key.startswith(prefix)}
    assert cases
    for interval, wanted in cases.items():
        sigma, to = map(float, interval.split("-"))
        assert torch.allclose(noise(sigma, to)[:, :2], wanted, atol=1e-5)


def test_nvidias_numbers_give_another_path_and_the_same_on_each_run():
    first, second = (BrownianNoise("NV", [1, 2], (4, 8, 8), 0.03, 14.6) for _ in range(2))
    assert torch.equal(first(3.0, 2.0), second(3.0, 2.0))
    assert not torch.allclose(first(3.0, 2.0), brownian([1, 2])(3.0, 2.0), atol=0.1)
    total = Philox(int(np.random.SeedSequence(1, pool_size=24).generate_state(1)[0])).normal((4, 8, 8))
    assert torch.allclose(first(0.03, 14.6)[0], total, atol=1e-5)


def test_a_path_does_not_depend_on_the_order_of_questions_or_on_neighbours():
    forwards, backwards = brownian([3]), brownian([9, 3])
    intervals = [(14.0, 3.3), (3.3, 1.0), (1.0, 0.5), (14.0, 0.5), (0.5, 0.0292)] + [
        (10 / n, 10 / (n + 1)) for n in range(1, 90)
    ]
    ahead = [forwards(*interval)[0] for interval in intervals]
    back = [backwards(*interval)[1] for interval in reversed(intervals)]
    assert all(torch.equal(a, b) for a, b in zip(ahead, reversed(back), strict=True))


@pytest.mark.parametrize("entropy", [0, 1, 2**32 - 1, 2**32 + 5, 2**63 - 2])
def test_the_intervals_of_a_path_have_numpys_seeds(entropy):
    path, node = brownian([entropy]), (5, 3)
    keyed = np.random.SeedSequence(entropy, spawn_key=node, pool_size=24)
    assert path.seeds[0].of(_Interval(0.0, 1.0, *node)) == int(keyed.generate_state(1)[0])


def test_increments_add_up():
    noise = brownian([4])
    parts = sum(noise(a, b) * (a - b) ** 0.5 for a, b in ((9.0, 4.0), (4.0, 1.5), (1.5, 0.7)))
    assert torch.allclose(parts, noise(9.0, 0.7) * 8.3**0.5, atol=1e-4)


def test_draws_over_disjoint_steps_are_independent_and_of_unit_variance():
    noise = BrownianNoise("CPU", [8], (4, 64, 64), 0.0292, 14.6146)
    first, second = noise(10.0, 4.0).flatten(), noise(4.0, 0.1).flatten()
    assert float(first.std()) == pytest.approx(1, abs=0.03)
    assert float((first * second).mean()) == pytest.approx(0, abs=0.03)


def test_one_path_for_the_whole_batch_if_asked():
    assert brownian([5, 6], together=True)(3.0, 2.0).shape == (2, 4, 8, 8)
    assert torch.equal(brownian([5, 6], together=True)(3.0, 2.0), brownian([1, 6], together=True)(3.0, 2.0))
    assert not torch.equal(brownian([5, 6], together=True)(3.0, 2.0), brownian([5, 6])(3.0, 2.0))


def test_the_cpu_generator_is_torchs():
    torch.manual_seed(5)
    assert torch.equal(generator("CPU", 5).normal((3, 3)), torch.randn(3, 3))
