"""What a package adds to the registry: a line each. Nothing is imported here but the registry's records."""

from webui.registry import (
    FeatureEntry,
    JobKind,
    RouteEntry,
    SamplerEntry,
    ScheduleEntry,
    TabEntry,
    UpscalerEntry,
)

TINT = FeatureEntry("Sample tint", "gesso_sample.tint", panel=True)
COUNTING = JobKind("sample_sum", "gesso_sample.counting", long=True, aside=True)
SAMPLER = SamplerEntry("Sample Euler", "gesso_sample.sampling:sample_euler", aliases=("sample_euler",))
SCHEDULE = ScheduleEntry("Sample straight", "gesso_sample.sampling:straight", aliases=("sample_straight",))
UPSCALER = UpscalerEntry("Sample doubling", "gesso_sample.upscaling:doubled")
TAB = TabEntry("Sample", "gesso_sample.page:tab", "tab_sample")
ROUTES = RouteEntry("sample", "gesso_sample.page:routes")
