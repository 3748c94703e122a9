"""A package that is broken in every place in which one can be."""

from webui.registry import (
    FamilyEntry,
    FeatureEntry,
    JobKind,
    RouteEntry,
    SamplerEntry,
    ScheduleEntry,
    ScriptEntry,
    TabEntry,
    UpscalerEntry,
)

P = "gesso_broken"

NUMBER = 7
HOOKS = FeatureEntry("Broken hooks", f"{P}.hooks")
ASKS = FeatureEntry("Broken asking", f"{P}.asks")
DECLARED = FeatureEntry("Broken declaration", f"{P}.declared")
HALF = FeatureEntry("Broken half", f"{P}.half")
PANEL = FeatureEntry("Broken panel", f"{P}.panel")
TAKEN = FeatureEntry("FreeU", f"{P}.hooks")
REQUESTS = JobKind("broken_requests", f"{P}.requests")
SERVERS = JobKind("broken_servers", f"{P}.servers")
WORKS = JobKind("broken_works", f"{P}.works")
PLANS = JobKind("broken_plans", f"{P}.plans")
SAMPLER = SamplerEntry("Broken sampler", f"{P}.raising:raises")
NO_SAMPLER = SamplerEntry("Broken missing sampler", f"{P}.nowhere:sampler")
SCHEDULE = ScheduleEntry("Broken schedule", f"{P}.raising:raises")
UPSCALER = UpscalerEntry("Broken upscaler", f"{P}.raising:raises")
FAMILY = FamilyEntry("Broken family", f"{P}.nowhere:FAMILY")
SCRIPT = ScriptEntry("Broken script", f"{P}.nowhere:Script")
TAB = TabEntry("Broken tab", f"{P}.page:tab", "tab_broken")
NO_ROUTES = RouteEntry("raises", f"{P}.raising:raises")
SCOPELESS = RouteEntry("scopeless", f"{P}.page:scopeless")
OURS = RouteEntry("ours", f"{P}.page:ours")
CALLED = RouteEntry("called", f"{P}.page:called")
