"""Units whose network follows a face: it is found, aligned and recognised in each of the unit's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from webui.base.errors import ModelError, UserError
from webui.engine.control.face_prompts import FacePrompt, FaceVision
from webui.engine.control.image_prompts import ImageTokens
from webui.engine.control.networks import CONTROL
from webui.engine.control.photo_maker import PhotoMaker
from webui.engine.control.vision import IMAGE_ENCODER, chosen
from webui.engine.detectors.detectors import Detectors, Landmarks
from webui.engine.detectors.identity import FACE_NET, largest, square_of_face
from webui.engine.feature import PassContext
from webui.engine.preprocessors.picture import Bytes
from webui.features.controlnet.parameters import Params
from webui.features.controlnet.picture import pictures_of
from webui.request.model_ref import ModelRef
from webui.request.preprocessors import INSTANT_WEIGHTS, KEYPOINTS, preprocessor

SIDE = 224
"""Pixels of the aligned face that an image encoder sees."""
OF_FACES = "faceid"
"""What names of LoRAs contain, without strokes, that were published for these networks."""
INSTANT = "instantid"
"""What the name of InstantID's ControlNet contains, likewise."""


class RecognisedFace(NamedTuple):
    """The largest face of a picture."""

    picture: Bytes
    face: Landmarks
    embedded: Tensor
    """What a network for recognising faces says of it: (1, width)."""


def faces_shown_to(
    prompt: FacePrompt, wish: Params, pictures: Sequence[Bytes], context: PassContext
) -> ImageTokens | None:
    """What a network is told of the largest face in each picture; None: there is no face in any, which is remarked.

    Raises:
        ModelError: the network for recognising faces, that which finds them, or the image encoder is missing, or
            damaged.
    """
    there = recognised(prompt, wish, pictures, context)
    residents = context.services.residents
    assert residents is not None
    if not there:
        return None
    embedded = [each.embedded if prompt.is_instant else normalize(each.embedded) for each in there]
    if not prompt.looks_inside:
        return prompt.told([FaceVision(each) for each in embedded])
    with residents.lend(IMAGE_ENCODER, chosen(wish.towers, prompt.tower)) as encoder:
        inner = [encoder.seen(_cut(each.picture, each.face)).inner for each in there]
        unseen: Tensor = encoder.unseen().inner
    return prompt.told([FaceVision(*each) for each in zip(embedded, inner, strict=True)], unseen)


def recognised(
    follower: FacePrompt | PhotoMaker, wish: Params, pictures: Sequence[Bytes], context: PassContext
) -> list[RecognisedFace]:
    """The largest face in each of the pictures that have one; a picture without is remarked upon.

    Raises:
        ModelError: the network for recognising faces, or that which finds them, is missing, or damaged.
    """
    residents, network = context.services.residents, face_network(follower, wish.annotators)
    assert residents is not None
    detectors = Detectors(residents)
    found = [(picture, largest(detectors.faces(picture))) for picture in pictures]
    there = [(picture, face) for picture, face in found if face is not None]
    if len(there) < len(found):
        count = len(found) - len(there)
        left = "" if there else " The unit was left out."
        network_title = wish.network.title if wish.network is not None else "the network"
        said = "in its picture" if len(found) == 1 else f"in {count} of its {len(found)} pictures"
        context.services.watch.remark(f"{wish.title}: {network_title} follows a face, and {said} there is none.{left}")
    if not there:
        return []
    with residents.lend(FACE_NET, network) as known:
        faces = [RecognisedFace(picture, face, torch.from_numpy(known(picture, face))) for picture, face in there]
    if faces[0].embedded.shape[1] != follower.face_width:
        raise ModelError(
            f"{network.title} says {faces[0].embedded.shape[1]} numbers of a face, where {follower.face_width} are "
            "needed.",
            hint=f"Get {follower.recognised_by.names[0]} as insightface publishes it.",
        )
    return faces


def face_network(follower: FacePrompt | PhotoMaker, annotators: Sequence[ModelRef]) -> ModelRef:
    """The one that a network was trained with, of a unit's files.

    Raises:
        ModelError: it is missing.
    """
    wanted = follower.recognised_by
    usual, is_instant = wanted.names[0], wanted is INSTANT_WEIGHTS
    chosen_by = "instant_id_face_embedding" if is_instant else "ip-adapter_face_id"
    found = next((ref for ref in annotators if Path(ref.path).name.casefold() in wanted.names), None)
    if found is None:
        raise ModelError(
            f"The network for recognising faces, {usual}, is missing: without it nobody can tell whose face it is.",
            hint=f"Put it into models/ControlNetPreprocessor/{wanted.folder}/{usual}, and choose the "
            f"preprocessor {chosen_by} or ip-adapter-auto.",
        )
    return found


def is_instant(wish: Params) -> bool:
    """Whether a ControlNet is InstantID's, by its name, or by the map that it is given: no tensor tells."""
    title = wish.network.title if wish.network is not None else ""
    return wish.module == KEYPOINTS or INSTANT in "".join(filter(str.isalnum, title.lower()))


def instant_faces(context: PassContext) -> ImageTokens | None:
    """What InstantID's ControlNet is told in the place of the text: the tokens of its adapter, which another unit has;
    None: that found no face.

    Raises:
        UserError: there is no such unit.
        ModelError: as `faces_shown_to`.
    """
    residents = context.services.residents
    assert residents is not None
    for wish in (each.params for each in context.batch.pictures[0].wishes):
        if isinstance(wish, Params) and wish.network is not None and preprocessor(wish.module).describes:
            with residents.lend(CONTROL, wish.network) as lent:
                if isinstance(lent, FacePrompt) and lent.is_instant:
                    return faces_shown_to(lent, wish, pictures_of(wish, context), context)
    raise UserError(
        "InstantID's ControlNet is told of a face by InstantID's adapter, and no unit has that.",
        hint="Give another unit ip-adapter_instant_id_sdxl, with the preprocessor instant_id_face_embedding.",
        field="features",
    )


def bends(context: PassContext) -> bool:
    """Whether the changes to the UNet in a network's file act: not where the prompt names the LoRA that was published
    with it, which is the same."""
    there = [tag.name for tag in context.this.networks if (tag.kind, tag.name) in context.services.networks]
    return not any(OF_FACES in "".join(filter(str.isalnum, name.lower())) for name in there)


def _cut(picture: Bytes, face: Landmarks) -> Bytes:
    """The aligned face."""
    return square_of_face(face.points).seen(picture, SIDE)
