"""img2img begins with the noise of which the model would make the given picture."""
