"""Captions as CLIP's token ids, 77 a caption, as any SD1 pipeline makes them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from webui.engine.training.config import END_TOKEN, START_TOKEN, TOKENS
from webui.prompt.tokens import clip_tokenizer


def token_ids(captions: Sequence[str]) -> Tensor:
    """(n, 77) int64: start, the caption's tokens cut to 75, end, and ends as padding."""
    encode = clip_tokenizer().encode
    rows = []
    for caption in captions:
        tokens = encode(caption)[: TOKENS - 2]
        rows.append([START_TOKEN, *tokens] + [END_TOKEN] * (TOKENS - 1 - len(tokens)))
    return torch.tensor(rows)
