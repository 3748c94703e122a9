"""OpenPose's networks: maps of how likely each part of people is where, refined in six stages.

Wei et al. 2016, arXiv:1602.00134 (convolutional pose machines); Cao et al. 2018, arXiv:1812.08008 (fields along limbs);
Simon et al. 2017, arXiv:1704.07809 (hands). The files are body_pose_model.pth, hand_pose_model.pth and facenet.pth,
whose layers have the names that they have at OpenPose. Pictures are given with blue first, levels from -0.5 to 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from webui.engine.families.weights import WeightsFile
from webui.engine.preprocessors.network import network_kind

STRIDE, STAGES, REFINING = 8, 6, 7
"""Pixels for a point of a map; how often maps are made, each from those before; convolutions of a later stage."""
LIMBS, PARTS = 2 * 19, 18 + 1
"""Maps for a body: two planes for each limb; one for each part, and one for where there is none."""
FINGERS, FACE = 21 + 1, 70 + 1
POOL = ""
"""Among names of layers: what lies behind is half as large."""
_START = ("conv1_1", "conv1_2", POOL, "conv2_1", "conv2_2", POOL, *(f"conv3_{at}" for at in (1, 2, 3, 4)), POOL)
BODY_TRUNK = (*_START, "conv4_1", "conv4_2", "conv4_3_CPM", "conv4_4_CPM")
PART_TRUNK = (*_START, *(f"conv4_{at}" for at in (1, 2, 3, 4)), "conv5_1", "conv5_2", "conv5_3_CPM")


class Layers(nn.Module):
    """Convolutions for the shapes of a file, under its names."""

    def __init__(self, file: WeightsFile) -> None:
        super().__init__()
        self._shapes = file.shapes

    def _add(self, names: Sequence[str], given: int) -> int:
        """Layers one behind the other, the first for so many planes -> how many the last gives.

        Raises:
            KeyError, ValueError: one is missing, or does not fit behind the one before.
        """
        for name in filter(None, names):
            out, inner, high, wide = self._shapes[f"{name}.weight"]
            if inner != given or high != wide or high % 2 == 0:
                raise ValueError(f"{name} for {given} planes")
            self.add_module(name, nn.Conv2d(inner, out, high, padding=high // 2))
            given = out
        return given

    def _run(self, names: Sequence[str], x: Tensor, *, ends: bool) -> Tensor:
        """ends: the last layer's numbers are an answer, and may be below zero."""
        for name in names:
            if name == POOL:
                x = max_pool2d(x, 2)
                continue
            x = self.get_submodule(name)(x)
            if not ends or name != names[-1]:
                x = relu(x)
        return x


class BodyMachine(Layers):
    """(1, 3, h, w) -> (1, 38 + 19, h / 8, w / 8): fields along limbs, then maps of parts. Sides are multiples of 8."""

    BRANCHES = (("L1", LIMBS), ("L2", PARTS))

    def __init__(self, file: WeightsFile) -> None:
        super().__init__(file)
        trunk = self._add(BODY_TRUNK, 3)
        for stage in range(1, STAGES + 1):
            for branch, planes in self.BRANCHES:
                names = self._names(stage, branch)
                if self._add(names, trunk if stage == 1 else trunk + LIMBS + PARTS) != planes:
                    raise ValueError(f"{names[-1]} of {planes} planes")

    @staticmethod
    def _names(stage: int, branch: str) -> tuple[str, ...]:
        if stage == 1:
            return tuple(f"conv5_{at}_CPM_{branch}" for at in range(1, 6))
        return tuple(f"Mconv{at}_stage{stage}_{branch}" for at in range(1, REFINING + 1))

    def forward(self, picture: Tensor) -> Tensor:
        seen = self._run(BODY_TRUNK, picture, ends=False)
        told = seen
        for stage in range(1, STAGES + 1):
            found = [self._run(self._names(stage, branch), told, ends=True) for branch, _ in self.BRANCHES]
            told = torch.cat([*found, seen], dim=1)
        return told[:, : LIMBS + PARTS]


class PartMachine(Layers):
    """A hand or a face that fills the picture: (1, 3, h, w) -> (1, parts + 1, h / 8, w / 8)."""

    def __init__(self, file: WeightsFile, planes: int) -> None:
        super().__init__(file)
        self.planes = planes
        trunk = self._add(PART_TRUNK, 3)
        for stage in range(1, STAGES + 1):
            names = self._names(stage)
            if self._add(names, trunk if stage == 1 else trunk + planes) != planes:
                raise ValueError(f"{names[-1]} of {planes} planes")

    @staticmethod
    def _names(stage: int) -> tuple[str, ...]:
        if stage == 1:
            return ("conv6_1_CPM", "conv6_2_CPM")
        return tuple(f"Mconv{at}_stage{stage}" for at in range(1, REFINING + 1))

    def forward(self, picture: Tensor) -> Tensor:
        seen = self._run(PART_TRUNK, picture, ends=False)
        told = seen
        for stage in range(1, STAGES + 1):
            told = torch.cat([self._run(self._names(stage), told, ends=True), seen], dim=1)
        return told[:, : self.planes]


BODIES = network_kind("OpenPose network for bodies", BodyMachine)
HANDS = network_kind("OpenPose network for hands", lambda file: PartMachine(file, FINGERS))
FACES = network_kind("OpenPose network for faces", lambda file: PartMachine(file, FACE))
