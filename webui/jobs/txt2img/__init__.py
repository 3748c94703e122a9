"""Pictures out of text."""
