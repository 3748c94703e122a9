from torch import nn

class Downsample2D(nn.Module):
    conv: nn.Conv2d
    padding: int
