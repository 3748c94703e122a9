"""Cannot be imported."""

raise KeyError("the sky has fallen")
