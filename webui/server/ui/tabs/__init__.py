"""One file a tab: where its controls stand. What a control is follows from the declaration."""
