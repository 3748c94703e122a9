from torch import nn

class ResnetBlock2D(nn.Module):
    norm1: nn.GroupNorm
    conv1: nn.Conv2d
    norm2: nn.GroupNorm
    conv2: nn.Conv2d
    conv_shortcut: nn.Conv2d | None
