"""What lies on disk: models, hashes, saved pictures, settings, and the database of jobs. No torch."""
