"""Gradio's page builds what is seen, when it is seen: its tree of components gets shorter where we serve its scripts.

Gradio makes every component of a page before the first one is shown, and all of them a second time at once. Here the
insides of closed folds, of tabs that nobody has opened, and of columns with the class `late` are made when they open.
Until then `assets/inline/late.js` answers for them: an event reads their values and changes them as before.
"""

from __future__ import annotations

import re
from pathlib import Path

ANSWERS = Path(__file__).parent / "assets" / "inline" / "late.js"
TREE = (
    ("constructor(e,t,n,r,i,a,o){", "this.late=new LateParts(o,id=>this.build_late(id));[e,t]=this.late.begin(e,t);"),
    ("reload(e,t,n,r){", "[e,t]=this.late.begin(e,t);"),
    ("async get_state(e){", "const late=this.late.state(e);if(late)return late;"),
    ("async update_state(e,t,n=!0){", "if(this.late.change(e,t))return;"),
    ("async render_previously_invisible_children(e){", "this.build_late(e);"),
)
"""Methods of the tree, and with what they begin."""
RERENDER = re.compile(
    r"rerender\(e,t\)\{let n=e\.reduce\(\(e,t\)=>\(e\.set\(t\.id,t\),e\),new Map\),"
    r"r=this\.traverse\(t,e=>this\.create_node\(e,n,!1,this\.reactive_formatter\)\);"
    r"(?P<tabs>[\w$]{1,9})\(r,this\.initial_tabs\);"
    r"let i=this\.traverse\(r,e=>(?P<titles>[\w$]{1,9})\(e,this\.initial_tabs\)\),"
    r"a=(?P<find>[\w$]{1,9})\(this\.root,i\.id\);",
    re.ASCII,
)
"""The method that puts new components into a place, and what it calls."""
BUILD = (
    "build_late(id){{const part=this.late.open(id);if(!part)return;"
    "const known=new Map(part[0].map(one=>[one.id,one]));"
    "const node=this.traverse(part[1],e=>this.create_node(e,known,!1,this.reactive_formatter));"
    "{tabs}(node,this.initial_tabs);"
    "const built=this.traverse(node,"
    "[e=>{titles}(e,this.initial_tabs),e=>this.find_attached_events(e,this.{dependencies}),"
    "e=>{hide}(e,this.components_to_register,this.{hidden})]);"
    "{find}(this.root,id).children=built.children}}"
)
AFTERWARDS = re.compile(
    r"e=>this\.find_attached_events\(e,this\.(?P<dependencies>#[\w$]{1,9})\),"
    r"e=>(?P<hide>[\w$]{1,9})\(e,this\.components_to_register,this\.(?P<hidden>#[\w$]{1,9})\)\]",
    re.ASCII,
)
"""What is done with new components afterwards: they are told their events, and tabs that are not open are hidden."""
AGAIN = re.compile(
    r"(?P<count>[\w$]{1,9}\(\)),"
    r"(?P<rest>[\w$]{1,9}\(\(\)=>\{[\w$]{1,9}\.reload\([\w$]{1,9}\.components,[\w$]{1,9}\.layout,)",
    re.ASCII,
)
"""Where the page, which has just been built, is built again: `count` is how often it has been made anew, 0 so far."""


def building_late(script: str) -> str:
    """One of Gradio's scripts, with those places changed; all of them in a script, or none."""
    script = AGAIN.sub(r"\g<count>&&\g<rest>", script)
    rerender, afterwards = RERENDER.search(script), AFTERWARDS.search(script)
    if not (rerender and afterwards and all(script.count(method) == 1 for method, _ in TREE)):
        return script
    build = BUILD.format(**rerender.groupdict(), **afterwards.groupdict())
    for method, beginning in TREE:
        script = script.replace(method, method + beginning)
    script = script.replace(rerender[0], build + rerender[0])
    return f"{script}\n{ANSWERS.read_text('utf-8')}"
