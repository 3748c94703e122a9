"""What img2img begins with is enlarged by an upscaler."""
