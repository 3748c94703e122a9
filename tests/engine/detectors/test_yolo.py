"""YOLO files: read without running them, and the same answers whoever carries the network out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.engine.detectors.published import BINS, foreign, save, tensors, tensors11
from webui.base.errors import ModelError
from webui.engine.detectors import yolo, yolo_onnx
from webui.engine.detectors.found import Detection, within
from webui.engine.detectors.yolo_answers import Answers, found_in, framed
from webui.engine.detectors.yolo_blocks import PlaceAttention, Tensors

CPU = torch.device("cpu")
ONNX = Path(__file__).with_name("shapes.onnx")
"""`tensors(masks=3, width=2)` as torch exports it for pictures of 96x64 pixels."""
PICTURE = np.random.default_rng(0).integers(0, 256, (120, 200, 3)).astype(np.uint8)


def test_a_file_of_the_program_that_trains_them_is_read_without_that_program(tmp_path: Path) -> None:
    path = save(tmp_path / "face.pt", tensors(masks=3), {0: "face", 1: "hand"})
    network = yolo.opened(path, CPU)
    assert dict(network.names) == {0: "face", 1: "hand"}
    found = network(PICTURE, 0.3)
    assert found and all(0.3 <= each.score <= 1 and each.label in ("face", "hand") for each in found)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    for each in found:
        left, top, right, bottom = each.box
        assert 0 <= left < right <= 200 and 0 <= top < bottom <= 120
        assert each.shape is not None and each.shape.shape == (bottom - top, right - left)
        assert each.mask((200, 120)).getbbox() is not None


def test_a_file_of_yolo11_is_read_too(tmp_path: Path) -> None:
    found = yolo.opened(save(tmp_path / "face.pt", tensors11(), {0: "face", 1: "hand"}), CPU)(PICTURE, 0.3)
    assert found and {each.label for each in found} <= {"face", "hand"}
    state = tensors11()
    changed = {**state, "model.10.m.0.attn.pe.conv.weight": state["model.10.m.0.attn.pe.conv.weight"] * 3}
    given = torch.rand(1, 3, 64, 96)
    one, other = (yolo.YoloNetwork(Tensors(tmp_path, each)).eval()(given)[0] for each in (state, changed))
    assert not torch.allclose(one, other), "the attention has its part in it"


def test_attention_is_as_it_is_described(tmp_path: Path) -> None:
    """By the formula: each place takes from all, as alike as keys and queries are, and what its neighbours have."""
    drawn, channels, heads, width = torch.Generator().manual_seed(1), 128, 2, 32
    shapes = {"qkv": (channels + 2 * heads * width, channels, 1, 1), "pe": (channels, 1, 3, 3)}
    shapes["proj"] = (channels, channels, 1, 1)
    state = {f"a.{name}.conv.weight": torch.randn(shape, generator=drawn) * 0.1 for name, shape in shapes.items()}
    state |= {f"a.{name}.conv.bias": torch.randn(shape[0], generator=drawn) for name, shape in shapes.items()}
    x = torch.randn(2, channels, 3, 4, generator=drawn)
    found = PlaceAttention(Tensors(tmp_path, state), "a")(x)

    def convolved(name: str, given: torch.Tensor, **options: int) -> torch.Tensor:
        kernel, bias = state[f"a.{name}.conv.weight"], state[f"a.{name}.conv.bias"]
        return torch.nn.functional.conv2d(given, kernel, bias, **options)  # type: ignore[arg-type]

    each = convolved("qkv", x).flatten(2).reshape(2, heads, 2 * width + channels // heads, 12)
    query, key, value = each[:, :, :width], each[:, :, width : 2 * width], each[:, :, 2 * width :]
    alike = torch.einsum("bhcn,bhcm->bhnm", query, key) / width**0.5
    taken = torch.einsum("bhcm,bhnm->bhcn", value, alike.softmax(-1)).reshape(x.shape)
    beside = convolved("pe", value.reshape(x.shape), padding=1, groups=channels)
    assert torch.allclose(found, convolved("proj", taken + beside), atol=1e-4)


def test_the_same_tensors_as_safetensors_or_as_a_state_dict_find_the_same(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in tensors().items()}
    save_file(state, tmp_path / "face.safetensors")
    torch.save(state, tmp_path / "state.pt")
    found = [
        yolo.opened(path, CPU)(PICTURE, 0.5)
        for path in (save(tmp_path / "face.pt", tensors()), tmp_path / "face.safetensors", tmp_path / "state.pt")
    ]
    assert found[0]
    assert len({tuple((each.box, each.score) for each in one) for one in found}) == 1


def test_normalizations_that_are_folded_into_their_convolutions_change_nothing(tmp_path: Path) -> None:
    state = tensors()
    folded = dict(state)
    for name in [each.removesuffix(".bn.weight") for each in state if each.endswith(".bn.weight")]:
        scale, shift, mean, spread = (
            folded.pop(f"{name}.bn.{part}") for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = scale / (spread + 1e-3).sqrt()
        folded[f"{name}.conv.weight"] = state[f"{name}.conv.weight"] * factor[:, None, None, None]
        folded[f"{name}.conv.bias"] = shift - mean * factor
    given = torch.rand(1, 3, 64, 96)
    both = [yolo.YoloNetwork(Tensors(tmp_path, each)).eval()(given)[0] for each in (state, folded)]
    assert torch.allclose(*both, atol=1e-3)


def test_opencv_and_torch_answer_alike() -> None:
    network = yolo.YoloNetwork(Tensors(Path("x"), tensors(masks=3, width=2))).eval().requires_grad_(False)
    opened = yolo_onnx.opened(ONNX)
    assert opened.described == yolo_onnx.Described((96, 64), {0: "face", 1: "cat"})
    frame = framed(PICTURE, (96, 64))
    made = [each.numpy() for each in network(torch.from_numpy(frame.pixels)) if each is not None]
    ours = found_in(Answers(*made), frame, 0.4, opened.described.names)
    theirs = opened(PICTURE, 0.4)
    assert len(ours) == len(theirs) > 3
    for one, other in zip(ours, theirs, strict=True):
        assert one.label == other.label and abs(one.score - other.score) < 1e-3
        assert np.abs(np.subtract(one.box, other.box)).max() <= 1


def test_a_box_lies_where_the_distances_say(tmp_path: Path) -> None:
    """Everything is 0 but what the last layers add: each place is sure of class 1, two strides away from each side."""
    state = {name: torch.zeros_like(tensor) for name, tensor in tensors().items()}
    for level in range(3):
        state[f"model.22.cv2.{level}.2.bias"] = torch.tensor(([0.0, 0, 50, 0] * 4)[: 4 * BINS])
        state[f"model.22.cv3.{level}.2.bias"] = torch.tensor([-5.0, 5 - level])
    network = yolo.opened(save(tmp_path / "x.pt", state), CPU)
    found = network(np.zeros((640, 640, 3), np.uint8), 0.99)
    assert {each.label for each in found} == {"cat"}
    whole = [each.box for each in found if min(each.box[:2]) > 0 and max(each.box[2:]) < 640]
    assert whole and all((right - left, bottom - top) == (32, 32) for left, top, right, bottom in whole)
    assert all((left + 16) % 8 == 4 for left, *_ in whole)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (33, 7)])
def test_pictures_of_any_shape_are_looked_at(size: tuple[int, int], tmp_path: Path) -> None:
    network = yolo.opened(save(tmp_path / "x.pt", tensors(masks=2)), CPU)
    for each in network(np.full((size[1], size[0], 3), 200, np.uint8), 0.0):
        assert each.mask(size).getbbox() is not None


def test_what_is_no_such_detector_says_what_to_do_instead(tmp_path: Path) -> None:
    other = {name: each for name, each in tensors().items() if not name.startswith("model.9.")}
    world = {**tensors(), "model.22.cv4.0.logit_scale": torch.ones(())}
    uneven = {**tensors(), "model.12.cv1.conv.weight": torch.zeros(16, 3, 1, 1)}
    for state, said in (
        (other, "no YOLOv8 or YOLO11 detector"),
        (world, "YOLO-World"),
        (uneven, "do not fit together"),
    ):
        path = save(tmp_path / "odd.pt", state)
        with pytest.raises(ModelError, match=rf"odd\.pt.*{said}") as raised:
            yolo.opened(path, CPU)
        assert "onnx" in raised.value.hint
    for content in (b"", b"PK\x03\x04", b"\x80\x02.", b"nothing"):
        (tmp_path / "cut.pt").write_bytes(content)
        with pytest.raises(ModelError, match=r"cut\.pt"):
            yolo.opened(tmp_path / "cut.pt", CPU)
    whole = ONNX.read_bytes()
    for content in (b"", b"nothing", whole[:1000], whole[:-9], b"\x0a\x02hi"):
        (tmp_path / "cut.onnx").write_bytes(content)
        with pytest.raises(ModelError, match=r"cut\.onnx"):
            yolo_onnx.opened(tmp_path / "cut.onnx")(PICTURE, 0.5)


class Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("run",))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with foreign() as kind:
        whole = kind()
        whole.evil = Runs()
        torch.save({"model": whole}, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match="could run code"):
        yolo.opened(tmp_path / "evil.pt", CPU)
    assert capsys.readouterr().out == ""


def test_a_module_within_itself_ends(tmp_path: Path) -> None:
    with foreign() as kind:
        whole = kind()
        whole._modules["again"] = whole
        whole._modules["twice"] = whole
        torch.save({"model": whole}, tmp_path / "round.pt")
    with pytest.raises(ModelError, match="too many modules"):
        yolo.opened(tmp_path / "round.pt", CPU)


def test_a_thing_is_found_once_and_within_the_picture() -> None:
    frame = framed(np.zeros((64, 64, 3), np.uint8), (64, 64))
    boxes = np.array([[0, 0, 30, 30], [1, 1, 31, 31], [40, 40, 99, 99], [70, 0, 90, 9], [0, 0, np.nan, 5]], np.float32)
    scores = np.array([[0.5, 0], [0.9, 0], [0.6, 0], [0.8, 0], [0.7, 0]], np.float32)
    found = found_in(Answers(boxes, scores), frame, 0.3, {0: "face"})
    assert [each.box for each in found] == [(1, 1, 31, 31), (40, 40, 64, 64)]
    assert found_in(Answers(boxes[:0], scores[:0]), frame, 0.3, {}) == []
    assert within((5, 5, 5, 9), (10, 10)) is None
    assert Detection((1, 2, 3, 4), 1.0).mask((5, 5)).getbbox() == (1, 2, 3, 4)
