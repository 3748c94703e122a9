from torch import Tensor, nn

class ImageProjection(nn.Module):
    def __init__(
        self, image_embed_dim: int = 768, cross_attention_dim: int = 768, num_image_text_embeds: int = 32
    ) -> None: ...

class IPAdapterFullImageProjection(nn.Module):
    def __init__(self, image_embed_dim: int = 1024, cross_attention_dim: int = 1024) -> None: ...

class IPAdapterPlusImageProjectionBlock(nn.Module):
    def __init__(
        self, embed_dims: int = ..., dim_head: int = ..., heads: int = ..., ffn_ratio: float = ...
    ) -> None: ...
    def forward(self, x: Tensor, latents: Tensor, residual: Tensor) -> Tensor: ...

class IPAdapterPlusImageProjection(nn.Module):
    proj_in: nn.Linear
    def __init__(
        self,
        embed_dims: int = 768,
        output_dims: int = 1024,
        hidden_dims: int = 1280,
        depth: int = 4,
        dim_head: int = 64,
        heads: int = 16,
        num_queries: int = 8,
        ffn_ratio: float = 4,
    ) -> None: ...
