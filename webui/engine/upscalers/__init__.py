"""What enlarges pictures: in pixels, or in latent space."""
