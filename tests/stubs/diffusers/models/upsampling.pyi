from torch import nn

class Upsample2D(nn.Module):
    conv: nn.Conv2d
    padding: int
