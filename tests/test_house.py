"""The house keeps its shape: layers, no cycle, no torch in the server, no ambient state."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests import house
from tests.house import FILES, MODULES, ROOT, imports, module_name, source

# A module may import from its own row, and from rows with a smaller number in its own column or in both.
LAYERS: tuple[tuple[str, int, str], ...] = (
    ("webui.base", 0, "both"),
    ("webui.prompt", 1, "both"),
    ("webui.entry_points", 1, "both"),
    ("webui.registry", 1, "both"),
    ("webui.request", 2, "both"),
    ("webui.features", 2, "both"),
    ("webui.flags", 3, "both"),
    ("webui.catalog", 3, "both"),
    ("webui.scripts", 3, "both"),
    ("webui.jobs", 3, "both"),
    ("webui.flags", 3, "server"),
    ("webui.engine.sampling", 4, "engine"),
    ("webui.engine.families", 5, "engine"),
    ("webui.engine.networks", 5, "engine"),
    ("webui.engine.upscalers", 5, "engine"),
    ("webui.engine", 6, "engine"),
    ("webui.server.jobs", 4, "server"),
    ("webui.server", 5, "server"),
    ("webui", 6, "server"),
)
# Of the folder of a kind of job, webui/jobs/NAME: the same in each.
PARTS_OF_A_KIND = {"request": (3, "both"), "work": (7, "engine"), "aside": (7, "engine"), "server": (5, "server")}
# Of a feature's, webui/features/NAME, beside its parameters; all else there is the engine's.
PARTS_OF_A_FEATURE = {"panel": (5, "server")}

BROAD_EXCEPT_ALLOWED = {
    "webui/base/fence.py": "the fence around each thing in a folder: a broken one is named, the rest is read",
    "webui/engine/worker.py": "the engine's edge: whatever happens becomes a Failed event",
    "webui/server/jobs/dispatcher.py": "the dispatcher's edge: one broken job never stops the queue",
    "webui/server/api/errors.py": "the API's edge: whatever happens becomes a JSON answer",
}
PRINT_ALLOWED = {
    "webui/__main__.py",
    "webui/command_line.py",
    "webui/launcher.py",
    "webui/weights_command.py",
    "webui/engine/bench.py",
    "webui/server/bench.py",
}


MOST: dict[str, int] = {}
"""What is not where it shall be: lower these with the counts, never raise them."""


def layer(module: str) -> tuple[int, str]:
    part = module.split(".")
    if part[:2] == ["webui", "jobs"] and part[3:]:
        return PARTS_OF_A_KIND[part[3]]
    if part[:2] == ["webui", "features"] and part[3:] and part[3] != "parameters":
        return PARTS_OF_A_FEATURE.get(part[3], (7, "engine"))
    return next((row, column) for prefix, row, column in LAYERS if module == prefix or module.startswith(prefix + "."))


@pytest.mark.parametrize("name", house.COUNTED)
def test_no_count_gets_worse(name: str) -> None:
    """`python -m tests.house --where` shows them all, and the goals."""
    goal, look = house.COUNTED[name]
    found = look()
    most = max(MOST.get(name, 0), goal)
    assert len(found) <= most, f"{len(found)} {name}, and there were {most}:\n" + "\n".join(found)


def test_a_module_imports_only_from_layers_below() -> None:
    wrong = []
    for name, path in MODULES.items():
        row, column = layer(name)
        for other in imports(path):
            other_row, other_column = layer(other)
            if other_row > row or (column != other_column and other_column != "both"):
                if name in ("webui", "webui.__main__"):
                    continue  # the command line starts either side
                wrong.append(f"{name} (layer {row} {column}) imports {other} (layer {other_row} {other_column})")
    assert not wrong, "\n".join(wrong)


def test_torch_is_imported_in_the_engine_alone() -> None:
    heavy = {"torch", "diffusers", "transformers", "accelerate", "peft", "torchsde"}
    wrong = []
    for path in FILES:
        if layer(module_name(path))[1] == "engine":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            wrong += [f"{source(path)} imports {name}" for name in names if name.split(".")[0] in heavy]
    assert not wrong, "\n".join(wrong)


def test_importing_the_server_side_brings_no_torch() -> None:
    modules = [name for name in MODULES if layer(name)[1] != "engine" and name != "webui.__main__"]
    code = (
        "import sys, importlib\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "heavy = [m for m in ('torch', 'diffusers', 'transformers') if m in sys.modules]\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_nobody_asks_what_kind_a_job_is() -> None:
    """Queue and engine know kinds by their lines in the registry alone."""
    declared = [ROOT / "webui/request/plan.py", *ROOT.glob("webui/jobs/*/request.py")]
    kinds = {
        node.name
        for path in declared
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and (path != declared[0] or node.name in ("Plan", "Plans"))
    }
    assert {"Plan", "Merge", "MergePlan"} <= kinds
    wrong = []
    for path in FILES:
        if source(path).startswith(("webui/jobs/", "webui/server/ui/")):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            asked: ast.AST | None = None
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
                asked = node.args[1]
            elif isinstance(node, ast.MatchClass):
                asked = node.cls
            if asked and kinds & {part.id for part in ast.walk(asked) if isinstance(part, ast.Name)}:
                wrong.append(f"{source(path)}:{node.lineno}")  # type: ignore[attr-defined]
    assert not wrong, wrong


def test_nothing_is_mutable_at_module_level() -> None:
    wrong = []
    for path in FILES:
        tree = ast.parse(path.read_text("utf-8"))
        for node in tree.body:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            if isinstance(value, ast.List | ast.Dict | ast.Set) and any(
                not name.isupper() and name != "__all__" and not name.startswith("_") for name in names
            ):
                wrong.append(f"{source(path)}:{node.lineno} a mutable value that is no CONSTANT")
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_prints() -> None:
    wrong = [
        f"{source(path)}:{node.lineno}"
        for path in FILES
        if source(path) not in PRINT_ALLOWED and "/training/" not in source(path)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not wrong, wrong


def test_everything_is_caught_at_the_edges_alone() -> None:
    wrong = []
    for path in FILES:
        if source(path) in BROAD_EXCEPT_ALLOWED:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)} if node.type else {"all"}
            raises_again = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            if caught & {"Exception", "BaseException", "all"} and not raises_again:
                wrong.append(f"{source(path)}:{node.lineno}")
    assert not wrong, f"catches everything away from the edges: {wrong}"


def test_no_folder_or_file_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "common", "helpers", "helper", "shared", "misc", "manager"}
    wrong = [source(path) for path in FILES if drawers & {*path.relative_to(ROOT).with_suffix("").parts}]
    assert not wrong, wrong


def test_the_top_level_is_the_agreed_one() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0 or not listed.stdout:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    files = {"pyproject.toml", "README.md", "LICENSE", "launch.py", "webui-user.sh", "webui-user.bat", ".gitignore"}
    allowed = files | {"webui", "models", "outputs", "tests", ".ci", ".gitattributes"}
    assert top <= allowed, f"does not belong at the top: {sorted(top - allowed)}"
