"""What a network file says of one weight, as a change of that weight: one formula for each kind of file.

LoRA: Hu et al. 2021, arXiv:2106.09685. LoHa, LoKr, (IA)^3 and others: Yeh et al. 2023, arXiv:2309.14859. DoRA: Liu et
al. 2024, arXiv:2402.09353. OFT: Qiu et al. 2023, arXiv:2306.07280. BOFT: Liu et al. 2023, arXiv:2311.06243.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
"""The tensors of one layer, by the names of `spelling.NAMES`."""


@dataclass(frozen=True)
class DeltaKind:
    """A way to write down a change of a weight."""

    name: str
    needs: frozenset[str]
    """Tensors without which it is not this kind."""
    delta: Callable[[Tensors, Tensor, int | None], Tensor]
    """(tensors, the weight in float32, highest rank or None) -> the change at full strength, unscaled.

    Raises RuntimeError where they do not fit together.
    """
    numbers: Callable[[Tensors, torch.Size], int]
    """How many numbers the change has, by shapes alone; -1 where it does not fit a weight of this shape."""
    rank: Callable[[Tensors], int] = lambda _tensors: 0
    """What `alpha` is divided by; 0 where alpha has no such meaning."""
    looks_at_weight: bool = False
    """The change depends on the weight that it is added to."""


def kind_of(tensors: Tensors) -> DeltaKind | None:
    """The kind of a layer's tensors, or None when it is none of ours."""
    return next((kind for kind in KINDS if kind.needs <= tensors.keys()), None)


def fits(kind: DeltaKind, tensors: Tensors, weight: torch.Size) -> bool:
    """Whether the layer can change a weight of this shape. Never raises, whatever the tensors are."""
    try:
        return kind.numbers(tensors, weight) in (math.prod(weight), math.prod(_narrow(weight)))
    except (RuntimeError, ValueError, IndexError, KeyError):
        return False


def looks_at_weight(kind: DeltaKind, tensors: Tensors) -> bool:
    return kind.looks_at_weight or "dora" in tensors


def weight_change(kind: DeltaKind, tensors: Tensors, weight: Tensor, rank: int | None) -> Tensor:
    """The change of a weight at strength 1, of the weight's shape. weight: float32."""
    whole = kind.delta(tensors, weight, rank)
    if "bias_indices" in tensors:
        values, shape = tensors["bias_values"], tensors["bias_size"].tolist()
        whole = whole + torch.sparse_coo_tensor(tensors["bias_indices"], values, shape).to_dense().reshape(whole.shape)
    if whole.numel() != weight.numel():  # an inpainting UNet's first layer has more inputs than the LoRA knows
        narrow = whole.reshape(_narrow(weight.shape))
        whole = torch.zeros_like(weight)
        whole[:, : narrow.shape[1]] = narrow
    whole = whole.reshape(weight.shape) * _scale(kind, tensors)
    return _decomposed(whole, weight, tensors["dora"]) if "dora" in tensors else whole


def bias_change(tensors: Tensors) -> Tensor | None:
    """The change of the layer's bias at strength 1."""
    return tensors.get("diff_b", tensors.get("b_norm"))


def _narrow(weight: torch.Size) -> torch.Size:
    """The shape of a first layer without the channels of mask and masked picture."""
    if len(weight) == 4 and weight[1] in (8, 9):
        return torch.Size((weight[0], 4, *weight[2:]))
    return weight


def _scale(kind: DeltaKind, tensors: Tensors) -> float:
    if "scale" in tensors:
        return float(tensors["scale"])
    rank = kind.rank(tensors)
    return float(tensors["alpha"]) / rank if rank and "alpha" in tensors else 1.0


def _decomposed(change: Tensor, weight: Tensor, magnitude: Tensor) -> Tensor:
    """DoRA, eq. 5: the changed weight's direction at a learnt length, for each input or each output."""
    merged = weight + change
    kept = 0 if magnitude.ndim == 1 or (magnitude.shape[0] == weight.shape[0] and magnitude.shape[1] == 1) else 1
    others = [axis for axis in range(merged.ndim) if axis != kept]
    lengths = torch.linalg.vector_norm(merged, dim=others, keepdim=True)
    changed: Tensor = merged * (magnitude.reshape(lengths.shape) / lengths) - weight
    return changed


# ---------------------------------------------------------------- products


def _product(up: Tensor, down: Tensor, rank: int | None = None) -> Tensor:
    """(o, r...) and (r, i...) -> (o, i...)."""
    left, right = up.flatten(1), down.flatten(1)
    product: Tensor = left[:, :rank] @ right[:rank]
    return product


def _cores(core: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Tucker: core (p, r, k, l), left (p, o), right (r, i) -> (o, i, k, l)."""
    return torch.einsum("prkl,po,ri->oikl", core, left, right)


def _lora(t: Tensors, _weight: Tensor, rank: int | None) -> Tensor:
    if "mid" in t:
        return _cores(t["mid"], t["up"].flatten(1).T, t["down"].flatten(1))
    return _product(t["up"], t["down"], rank)


def _lora_numbers(t: Tensors, weight: torch.Size) -> int:
    up, down = t["up"].shape, t["down"].shape
    if up[0] != weight[0]:
        return -1
    if "mid" in t:
        return up[0] * down[1] * math.prod(t["mid"].shape[2:])
    return up[0] * math.prod(down[1:]) if math.prod(up[1:]) == down[0] else -1


def _loha(t: Tensors, _weight: Tensor, _rank: int | None) -> Tensor:
    def side(number: int) -> Tensor:
        left, right, core = t[f"hada_w{number}_a"], t[f"hada_w{number}_b"], t.get(f"hada_t{number}")
        return _product(left, right) if core is None else _cores(core, left, right)

    return side(1) * side(2)


def _loha_numbers(t: Tensors, _weight: torch.Size) -> int:
    left, right = t["hada_w1_a"].shape, t["hada_w1_b"].shape
    if "hada_t1" in t:
        return left[1] * right[1] * math.prod(t["hada_t1"].shape[2:])
    return left[0] * math.prod(right[1:])


def _lokr(t: Tensors, _weight: Tensor, _rank: int | None) -> Tensor:
    first, second = _lokr_side(t, 1), _lokr_side(t, 2)
    if second.ndim == 4:
        first = first[..., None, None]
    return torch.kron(first, second.contiguous())  # a Tucker product is a view, which kron does not take


def _lokr_side(t: Tensors, number: int) -> Tensor:
    if f"lokr_w{number}" in t:
        return t[f"lokr_w{number}"]
    left, right, core = t[f"lokr_w{number}_a"], t[f"lokr_w{number}_b"], t.get(f"lokr_t{number}")
    if core is not None:
        return _cores(core, left, right)
    return _product(left, right).reshape(left.shape[0], *right.shape[1:])


def _lokr_numbers(t: Tensors, _weight: torch.Size) -> int:
    numbers = 1
    for side in (1, 2):
        if f"lokr_w{side}" in t:
            numbers *= t[f"lokr_w{side}"].numel()
        else:
            left, right, core = t[f"lokr_w{side}_a"].shape, t[f"lokr_w{side}_b"].shape, t.get(f"lokr_t{side}")
            numbers *= left[0] * math.prod(right[1:]) if core is None else left[1] * right[1] * core[0, 0].numel()
    return numbers


def _ia3(t: Tensors, weight: Tensor, _rank: int | None) -> Tensor:
    """The weight itself, scaled for each input or each output."""
    axis = 1 if bool(t["on_input"]) else 0
    shape = [1] * weight.ndim
    shape[axis] = -1
    return weight * t["weight"].reshape(shape)


def _ia3_numbers(t: Tensors, weight: torch.Size) -> int:
    return math.prod(weight) if t["weight"].numel() == weight[1 if bool(t["on_input"]) else 0] else -1


def _glora(t: Tensors, weight: Tensor, _rank: int | None) -> Tensor:
    """W A + B, both of low rank. Chavan et al. 2023, arXiv:2306.07967.

    A of a convolution mixes its input channels (LyCORIS), or its flattened inputs.
    """
    a_up, a_down, b_up, b_down = (side.flatten(1) for side in _glora_sides(t))
    inputs = weight.reshape(weight.shape[0], a_up.shape[0], -1)
    mixed = torch.einsum("oik,ir,rj->ojk", inputs, a_up, a_down)
    return b_up @ b_down + mixed.flatten(1)


def _glora_sides(t: Tensors) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(a up, a down, b up, b down): LyCORIS gives the upper ones the number 1, and its first releases gave them 2.

    Only where they meet tells which is which, and in a square layer they meet both ways round: the lower rank is meant.
    """
    today, old = _glora_rank(t, "1", "2"), _glora_rank(t, "2", "1")
    up, down = ("2", "1") if old and (not today or old < today) else ("1", "2")
    return t[f"a{up}"], t[f"a{down}"], t[f"b{up}"], t[f"b{down}"]


def _glora_rank(t: Tensors, up: str, down: str) -> int:
    """The rank if the tensors are named so; 0: they do not meet."""
    meet = {t[f"a{up}"].shape[1], t[f"a{down}"].shape[0], t[f"b{up}"].shape[1], t[f"b{down}"].shape[0]}
    ends = all(math.prod(t[f"{side}{up}"].shape[2:]) == 1 for side in "ab")
    return meet.pop() if len(meet) == 1 and ends else 0


def _glora_numbers(t: Tensors, weight: torch.Size) -> int:
    if not (_glora_rank(t, "1", "2") or _glora_rank(t, "2", "1")):
        return -1
    a_up, a_down, b_up, b_down = _glora_sides(t)
    fits_inputs = a_up.shape[0] == math.prod(a_down.shape[1:]) in (weight[1], math.prod(weight[1:]))
    return b_up.shape[0] * math.prod(b_down.shape[1:]) if fits_inputs else -1


def _oft(t: Tensors, weight: Tensor, _rank: int | None) -> Tensor:
    """The weight's outputs turned, block by block."""
    blocks = t.get("oft_blocks")
    if blocks is None:
        turns = t["oft_diag"]  # already rotations
    else:
        turns = _rotations(blocks, float(t["alpha"]) * weight.shape[0] if "alpha" in t else 0.0)
    turned = _butterfly(turns, weight) if turns.ndim == 4 else _turned(turns.transpose(-1, -2), weight)
    if "rescale" in t:
        turned = turned * t["rescale"].reshape(-1, *[1] * (weight.ndim - 1))
    return turned - weight


def _rotations(blocks: Tensor, limit: float) -> Tensor:
    """Cayley's transform of the skew-symmetric part; `limit`: of its norm, 0 is none."""
    skew = blocks - blocks.transpose(-1, -2)
    if limit:
        norm = torch.linalg.vector_norm(skew)
        skew = skew * ((norm.clamp(max=limit) + 1e-8) / (norm + 1e-8))
    eye = torch.eye(skew.shape[-1], device=skew.device)
    rotations: Tensor = (eye + skew) @ torch.linalg.inv(eye - skew)
    return rotations


def _turned(turns: Tensor, weight: Tensor) -> Tensor:
    """turns (k, n, n) act on the k blocks of n outputs."""
    blocks = weight.reshape(turns.shape[0], turns.shape[1], -1)
    return (turns @ blocks).reshape(weight.shape)


def _butterfly(turns: Tensor, weight: Tensor) -> Tensor:
    """turns (m, k, n, n): one after the other, each on outputs that lie further apart."""
    half = turns.shape[-1] // 2
    for level, turn in enumerate(turns):
        apart = 2**level * half
        rest = weight.shape[1:]
        shuffled = weight.reshape(-1, 2, apart, *rest).transpose(1, 2).reshape(weight.shape)
        shuffled = _turned(turn, shuffled)
        weight = shuffled.reshape(-1, apart, 2, *rest).transpose(1, 2).reshape(weight.shape)
    return weight


def _oft_numbers(t: Tensors, weight: torch.Size) -> int:
    blocks = t["oft_blocks"] if "oft_blocks" in t else t["oft_diag"]
    reach = 2 ** (blocks.shape[0] - 1) * blocks.shape[-1] if blocks.ndim == 4 else 1
    return math.prod(weight) if blocks.shape[-3] * blocks.shape[-1] == weight[0] and weight[0] % reach == 0 else -1


def _same_shape(name: str) -> Callable[[Tensors, torch.Size], int]:
    return lambda t, _weight: t[name].numel()


def _lokr_rank(t: Tensors) -> int:
    side = t.get("lokr_w2_b", t.get("lokr_w1_b"))
    return 0 if side is None else side.shape[0]


_LOKR = tuple(
    frozenset((*first, *second))
    for first in (("lokr_w1",), ("lokr_w1_a", "lokr_w1_b"))
    for second in (("lokr_w2",), ("lokr_w2_a", "lokr_w2_b"))
)

KINDS: tuple[DeltaKind, ...] = (
    DeltaKind("LoRA", frozenset({"up", "down"}), _lora, _lora_numbers, lambda t: t["down"].shape[0]),
    DeltaKind(
        "LoHa",
        frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}),
        _loha,
        _loha_numbers,
        lambda t: t["hada_w1_b"].shape[0],
    ),
    *(DeltaKind("LoKr", needs, _lokr, _lokr_numbers, _lokr_rank) for needs in _LOKR),
    DeltaKind("IA3", frozenset({"weight", "on_input"}), _ia3, _ia3_numbers, looks_at_weight=True),
    DeltaKind(
        "GLoRA",
        frozenset({"a1", "a2", "b1", "b2"}),
        _glora,
        _glora_numbers,
        lambda t: _glora_sides(t)[3].shape[0],
        looks_at_weight=True,
    ),
    DeltaKind("OFT", frozenset({"oft_blocks"}), _oft, _oft_numbers, looks_at_weight=True),
    DeltaKind("OFT", frozenset({"oft_diag"}), _oft, _oft_numbers, looks_at_weight=True),
    DeltaKind("full", frozenset({"diff"}), lambda t, _weight, _rank: t["diff"], _same_shape("diff")),
    DeltaKind("norm", frozenset({"w_norm"}), lambda t, _weight, _rank: t["w_norm"], _same_shape("w_norm")),
)
