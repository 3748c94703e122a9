"""Gradio's page finds a component by its number faster: it remembers where it was.

Gradio walks through the whole tree for each value that an event reads or writes: with a thousand components and two
hundred inputs, that is most of what an event costs. In the scripts that we give out, the walk remembers the way to what
it finds. A remembered way is tried first, and counts only if it ends at the component that is looked for: whatever
has been rebuilt since then, the answer is the same as before.
"""

from __future__ import annotations

import re

WALK = re.compile(
    r"function (?P<name>[\w$]+)\(e,t\)\{if\(e\.id===t\)return e;"
    r"if\(e\.children\)for\(let n of e\.children\)\{let e=(?P=name)\(n,t\);if\(e\)return e\}return null\}",
    re.ASCII,
)
"""The walk, as Gradio's build writes it."""

REMEMBERS = (
    "const NAME_ways=new Map;"
    "function NAME_walk(node,id,way){"
    "if(node.id===id)return node;"
    "const children=node.children;"
    "if(children)for(let at=0;at<children.length;at++){"
    "way.push(at);const found=NAME_walk(children[at],id,way);if(found)return found;way.pop()}"
    "return null}"
    "function NAME(root,id){"
    "const known=NAME_ways.get(id);"
    "if(known){let node=root;for(const at of known){node=node.children?.[at];if(!node)break}"
    "if(node?.id===id)return node}"
    "const way=[],found=NAME_walk(root,id,way);"
    "if(found)NAME_ways.set(id,way);else NAME_ways.delete(id);"
    "return found}"
)
"""What replaces it."""


def remembering(script: str) -> str:
    """One of Gradio's scripts, with the walk replaced where it is in it; a script without it stays as it is."""
    return WALK.sub(lambda found: REMEMBERS.replace("NAME", found["name"]), script, count=1)
