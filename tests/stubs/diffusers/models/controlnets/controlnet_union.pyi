from torch import nn

class ResidualAttentionBlock(nn.Module):
    def __init__(self, d_model: int, n_head: int) -> None: ...
