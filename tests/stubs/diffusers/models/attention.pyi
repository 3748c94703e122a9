from diffusers.models.attention_processor import Attention
from torch import nn

class BasicTransformerBlock(nn.Module):
    attn1: Attention
    attn2: Attention | None
    ff: nn.Module
    norm1: nn.LayerNorm
    norm2: nn.LayerNorm
    norm3: nn.LayerNorm
