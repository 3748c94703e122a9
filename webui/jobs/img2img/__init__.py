"""Pictures out of pictures: like text to image in all but its fields."""
