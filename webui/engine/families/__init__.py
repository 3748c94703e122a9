"""One file per model family, and what they have in common: detection, loading, text."""
