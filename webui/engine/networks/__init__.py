"""What is added to a model: embeddings, LoRA."""
