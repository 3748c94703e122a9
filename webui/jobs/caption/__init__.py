"""Captions: a text file for each picture of a folder."""
