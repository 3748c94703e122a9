"""Training of the demo checkpoint: data, networks, the two training stages, export and measurement."""
