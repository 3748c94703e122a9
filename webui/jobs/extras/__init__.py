"""Finished pictures made larger, cut, mirrored."""
