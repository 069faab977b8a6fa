"""Both models captured, brought to normal form and matched; what running the captures proves of
it."""
