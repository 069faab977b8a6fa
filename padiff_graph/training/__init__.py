"""Training both models side by side: losses, optimizers, steps."""
