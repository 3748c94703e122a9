"""What a uploader brings is what was there, whatever its size, layout and kind."""

from __future__ import annotations

import pytest
import torch

from webui.engine.families.pinned_upload import PIECES, PinnedUploader


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7, 3), (5, 4, 3, 3), (1000, 9)])
def test_everything_arrives(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    uploader = PinnedUploader(torch.device("cpu"), piece=256)
    for _ in range(2):
        sent = (torch.rand(shape) * 100).to(dtype)
        came = uploader.upload(sent)
        assert (came.dtype, came.shape) == (dtype, sent.shape)
        assert torch.equal(came.view(-1).view(torch.uint8), sent.view(-1).view(torch.uint8))
        assert came.data_ptr() != sent.data_ptr() or not sent.numel()


def test_a_turned_tensor_keeps_its_order_and_earlier_loads_are_safe() -> None:
    uploader = PinnedUploader(torch.device("cpu"), piece=64)
    turned = torch.arange(600.0).reshape(20, 30).T
    first = uploader.upload(turned)
    for _ in range(PIECES + 1):
        uploader.upload(torch.zeros(100))
    assert torch.equal(first, turned)
    assert first.is_contiguous()
