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
LAYOUT = FeatureEntry("Broken layout", f"{P}.layout", panel=True)
PLAIN = FeatureEntry("Broken plain", f"{P}.plain")
LEAVES = FeatureEntry("Broken leaving", f"{P}.leaves")
TAKEN = FeatureEntry("FreeU", f"{P}.hooks")
REQUESTS = JobKind("broken_requests", f"{P}.requests")
SERVERS = JobKind("broken_servers", f"{P}.servers")
WORKS = JobKind("broken_works", f"{P}.works", aside=True)
PLANS = JobKind("broken_plans", f"{P}.plans")
FLOWS = JobKind("broken_flows", f"{P}.flows")
LACKING = JobKind("broken_lacking", f"{P}.lacking")
FOREIGN = JobKind("broken_foreign", f"{P}.foreign")
SAMPLER = SamplerEntry("Broken sampler", f"{P}.raising:raises")
NO_SAMPLER = SamplerEntry("Broken missing sampler", f"{P}.nowhere:sampler")
SEVEN_SAMPLER = SamplerEntry("Broken giving sampler", f"{P}.raising:seven")
SEVEN_SCHEDULE = ScheduleEntry("Broken giving schedule", f"{P}.raising:seven")
SEVEN_UPSCALER = UpscalerEntry("Broken giving upscaler", f"{P}.raising:seven")
SCHEDULE = ScheduleEntry("Broken schedule", f"{P}.raising:raises")
UPSCALER = UpscalerEntry("Broken upscaler", f"{P}.raising:raises")
FAMILY = FamilyEntry("Broken family", f"{P}.nowhere:FAMILY")
SCRIPT = ScriptEntry("Broken script", f"{P}.nowhere:Script")
FLOW = ScriptEntry("Broken flow", f"{P}.scripting:BrokenFlow")
TAB = TabEntry("Broken tab", f"{P}.page:tab", "tab_broken")
NO_ROUTES = RouteEntry("raises", f"{P}.raising:raises")
LISTED = RouteEntry("listed", f"{P}.page:listed")
SCOPELESS = RouteEntry("scopeless", f"{P}.page:scopeless")
OURS = RouteEntry("ours", f"{P}.page:ours")
CALLED = RouteEntry("called", f"{P}.page:called")
