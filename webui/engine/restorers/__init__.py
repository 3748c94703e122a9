"""Faces that are made whole again, by networks that know what faces look like."""
