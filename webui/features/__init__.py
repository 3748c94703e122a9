"""Capabilities of a picture, a folder each: `parameters.py` says what one wants, `engine.py` does it."""
