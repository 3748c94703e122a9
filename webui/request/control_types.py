"""Kinds of control, as sd-webui-controlnet 1.1 groups preprocessors and models: what lists and choosers go by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from webui.request.preprocessors import KNOWN, NONE, RESOLUTION, TABLE, UNBUILT, Preprocessor, Range

ALL = "All"
NO_MODEL = "None"
_BY_KIND: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        ALL: (),
        "Canny": ("canny",),
        "Depth": ("depth",),
        "IP-Adapter": ("ip-adapter", "ip_adapter", "photomaker"),
        "Inpaint": ("inpaint",),
        "Instant-ID": ("instant_id", "instant-id"),
        "InstructP2P": ("ip2p",),
        "Lineart": ("lineart",),
        "MLSD": ("mlsd",),
        "NormalMap": ("normal",),
        "OpenPose": ("openpose",),
        "Recolor": ("recolor",),
        "Reference": (),
        "Revision": (),
        "Scribble": ("scribble", "sketch"),
        "Segmentation": ("seg",),
        "Shuffle": ("shuffle",),
        "SoftEdge": ("softedge", "hed"),
        "SparseCtrl": ("sparsectrl",),
        "T2I-Adapter": ("t2i",),
        "Tile": ("tile", "blur"),
    }
)
"""A kind -> what names of its models contain; none of these: no model is of the kind."""
KINDS: tuple[str, ...] = tuple(_BY_KIND)
FOR_ALL_KINDS = "union"
"""What the name of a network contains that understands maps of all kinds."""
PREFERRED = "11"
"""Of the version 1.1: of the models of a kind, the one with this in its name is the proposed one."""
_FIRST = frozenset(
    {
        *("tile_resample", "pidinet", "oneformer_ade20k", "pidinet_scribble", "revision_clipvision", "reference_only"),
        *("recolor_luminance", "openpose_full", "normal_bae", "mlsd", "lineart_standard", "ip-adapter_clip_sd15"),
        *("inpaint_only", "depth", "canny"),
    }
)
"""The usual ones of their kinds."""
_UNBUILT_MARKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Depth": ("depth_leres++", "depth_hand_refiner"),
        "IP-Adapter": (
            *("ip-adapter-auto", "ip-adapter_clip_sd15", "ip-adapter_pulid", "ip-adapter_face_id_plus"),
            *("ip-adapter_face_id", "ip-adapter_clip_sdxl_plus_vith", "ip-adapter_clip_sdxl"),
        ),
        "Inpaint": ("inpaint_only", "inpaint_only+lama", "inpaint"),
        "Instant-ID": ("instant_id_face_keypoints", "instant_id_face_embedding"),
        "Lineart": ("lineart_anime_denoise",),
        "NormalMap": ("normal_map", "normal_dsine"),
        "OpenPose": ("densepose_parula", "densepose", "animal_openpose"),
        "Reference": ("reference_only", "reference_adain+attn", "reference_adain"),
        "Revision": ("revision_clipvision", "revision_ignore_prompt"),
        "Segmentation": ("anime_face_segment", "mobile_sam"),
        "SoftEdge": ("softedge_anyline",),
        "SparseCtrl": ("scribble_xdog",),
        "T2I-Adapter": ("clip_vision",),
        "Tile": ("tile_colorfix+sharp", "tile_colorfix"),
    }
)
"""Kinds of preprocessors beyond what their own lines in the table say."""
_FIDELITY = Range("Style Fidelity (only for Balanced mode)", 0.5, 0.0, 1.0, 0.01)
_NOISE = Range("Noise Augmentation", 0.0, 0.0, 1.0, 0.01)
_SAFE_STEPS = Range("Safe Steps", 2, 0, 10, 1)
_NEAR, _BACKGROUND = Range("Remove Near %", 0, 0, 100, 0.1), Range("Remove Background %", 0, 0, 100, 0.1)
_VARIATION = Range("Variation", 8.0, 3.0, 32.0, 1.0)
_UNBUILT_RANGES: Mapping[str, tuple[Range, ...]] = MappingProxyType(
    {
        "revision_clipvision": (_NOISE,),
        "revision_ignore_prompt": (_NOISE,),
        "reference_only": (_FIDELITY,),
        "reference_adain": (_FIDELITY,),
        "reference_adain+attn": (_FIDELITY,),
        "tile_colorfix": (_VARIATION,),
        "tile_colorfix+sharp": (_VARIATION, Range("Sharpness", 1.0, 0.0, 2.0, 0.01)),
        "softedge_anyline": (_SAFE_STEPS,),
        "normal_map": (Range("Normal Background Threshold", 0.4, 0.0, 1.0, 0.01),),
        "normal_dsine": (Range("Fov", 60, 0, 360, 0.1), Range("Iterations", 5, 1, 20, 1)),
        "depth_leres++": (_NEAR, _BACKGROUND),
    }
)
_LARGE = replace(RESOLUTION, value=1280)
_LARGER = ("softedge_anyline",)
_WITHOUT_RESOLUTION = frozenset({"inpaint_only", "ip-adapter_pulid", "inpaint_only+lama", "inpaint", "facexlib"})


OF_UNION: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "OpenPose": ("OpenPose",),
        "Depth": ("Depth",),
        "Soft Edge": ("SoftEdge", "Scribble"),
        "Hard Edge": ("Canny", "Lineart", "MLSD"),
        "Normal Map": ("NormalMap",),
        "Segmentation": ("Segmentation",),
        "Tile": ("Tile",),
        "Inpaint": ("Inpaint",),
    }
)
"""Kinds of maps as networks for all of them (ControlNet Union) number them, the last two since ProMax -> the kinds of
control whose preprocessors make such maps."""
UNKNOWN = "Unknown"
UNION_TYPES = (UNKNOWN, *OF_UNION)


def union_number(union_type: str, which: Preprocessor) -> int | None:
    """The number of a kind of maps, by its name, or else by the preprocessor that makes them; None: neither tells."""
    if union_type in OF_UNION:
        return list(OF_UNION).index(union_type)
    kinds = kinds_of(which)
    if kinds & set(OF_UNION["Hard Edge"]):
        return list(OF_UNION).index("Hard Edge")
    return next((number for number, among in enumerate(OF_UNION.values()) if kinds & set(among)), None)


def listed() -> Sequence[Preprocessor]:
    """All preprocessors by the extension's order, also those that are not built here; `code` is "" then."""
    found = [KNOWN[name] for name in dict.fromkeys((*UNBUILT, *(each.name for each in TABLE))) if name != NONE.name]
    ordered = sorted(found, key=lambda each: (_rank(each.name), each.title), reverse=True)
    return [NONE, *(_told(each) for each in ordered)]


def sliders_of(which: Preprocessor) -> list[Range]:
    """Those that a form shows for it, the resolution first."""
    resolution = (_LARGE if which.name in _LARGER else RESOLUTION) if which.has_resolution else None
    return [each for each in (resolution, which.a, which.b) if each is not None]


def preprocessors_of(kind: str, among: Iterable[Preprocessor]) -> list[Preprocessor]:
    """Those of a kind, with the one that does nothing."""
    return [each for each in among if kind == ALL or each is NONE or kind in kinds_of(each)]


def kinds_of(which: Preprocessor) -> frozenset[str]:
    return frozenset((*which.marks, *(kind for kind, names in _UNBUILT_MARKS.items() if which.name in names)))


def models_of(kind: str, titles: Iterable[str]) -> list[str]:
    """Of the titles of networks, "None" among them, those whose names say the kind."""
    if kind == ALL:
        return list(titles)
    marks = (*_BY_KIND[kind], FOR_ALL_KINDS)
    return [title for title in titles if title == NO_MODEL or any(mark in _name(title) for mark in marks)]


def usual_preprocessor(kind: str, among: Iterable[Preprocessor]) -> Preprocessor:
    """What is proposed when a kind is chosen."""
    return next((each for each in preprocessors_of(kind, among) if each is not NONE and kind != ALL), NONE)


def usual_model(kind: str, titles: Iterable[str]) -> str:
    """What is proposed when a kind is chosen; "None" where there is none."""
    if kind == ALL:
        return NO_MODEL
    found = [title for title in models_of(kind, titles) if title != NO_MODEL]
    return next((title for title in found if PREFERRED in _name(title)), found[0] if found else NO_MODEL)


def _name(title: str) -> str:
    return title.rsplit(" [", 1)[0].lower()


def _rank(name: str) -> int:
    return 3 if name == "ip-adapter-auto" else 2 if name in _FIRST else 1 if name == "invert" else 0


def _told(which: Preprocessor) -> Preprocessor:
    """With the sliders that lists name, where it is not built."""
    if which.code:
        return which
    a, b, *_ = (*_UNBUILT_RANGES.get(which.name, ()), None, None)
    has_resolution = which.name not in _WITHOUT_RESOLUTION
    is_free = which.name.startswith(("revision_", "reference_"))
    return replace(which, a=a, b=b, has_resolution=has_resolution, model_free=is_free)
