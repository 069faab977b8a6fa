"""PyTorch: torch.export first, then a ladder of fallbacks."""
