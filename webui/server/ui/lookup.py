"""Gradio's page finds components by their numbers faster: two places of its scripts are replaced when we serve them.

Gradio walks through the whole tree for each value that an event reads or writes, and through all events for each
component: with more than a thousand components and two hundred events, that is most of what opening the page and
pressing a button cost. Here a walk remembers where everything was. A remembered way counts only if it still ends at the
component that is looked for: whatever has been rebuilt since then, the answer is the same as before. And the events are
sorted by their components once.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Patch(NamedTuple):
    """A place in Gradio's scripts, and what stands there instead."""

    place: re.Pattern[str]
    """With the function's name as the group `name`."""
    instead: str
    """With NAME for it."""


WALK = Patch(
    re.compile(
        r"function (?P<name>[\w$]+)\(e,t\)\{if\(e\.id===t\)return e;"
        r"if\(e\.children\)for\(let n of e\.children\)\{let e=(?P=name)\(n,t\);if\(e\)return e\}return null\}",
        re.ASCII,
    ),
    "let NAME_ways=new Map;"
    "function NAME_walk(node,way){"
    "if(!NAME_ways.has(node.id))NAME_ways.set(node.id,way);"
    "const children=node.children;"
    "if(children)for(let at=0;at<children.length;at++)NAME_walk(children[at],[...way,at])}"
    "function NAME_follow(root,id){"
    "const way=NAME_ways.get(id);if(!way)return null;"
    "let node=root;for(const at of way){node=node.children?.[at];if(!node)return null}"
    "return node.id===id?node:null}"
    "function NAME(root,id){"
    "const found=NAME_follow(root,id);if(found)return found;"
    "NAME_ways=new Map;NAME_walk(root,[]);return NAME_follow(root,id)}",
)
"""The walk to a component, by the tree's root and its number."""
EVENTS = Patch(
    re.compile(
        r"(?P<name>find_attached_events)\(e,t\)\{let n=t\.filter\(t=>t\.targets\.find\(\(\[t\]\)=>t===e\.id\)\)"
        r"\.map\(t=>\{let n=t\.targets\.find\(\(\[t\]\)=>t===e\.id\);return n\?n\[1\]:null\}\)\.filter\(Boolean\);"
        r"return e\.props\.shared_props\.attached_events=n,e\}",
        re.ASCII,
    ),
    "NAME(node,all){"
    "if(this.sorted_events!==all){this.sorted_events=all;this.sorted=new Map;"
    "for(const one of all)for(const[id,event]of new Map([...one.targets].reverse()))if(event){"
    "const known=this.sorted.get(id);known?known.push(event):this.sorted.set(id,[event])}}"
    "node.props.shared_props.attached_events=this.sorted.get(node.id)??[];return node}",
)
"""The method that tells a component which of its events are listened to: the first of each dependency that has it."""
PATCHES = (WALK, EVENTS)


def remembering(script: str) -> str:
    """One of Gradio's scripts, with those places replaced that are in it; a script without any stays as it is."""
    for place, instead in PATCHES:
        if found := place.search(script):
            script = script[: found.start()] + instead.replace("NAME", found["name"]) + script[found.end() :]
    return script
