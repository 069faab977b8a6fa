"""A torch checkpoint as a Paddle one, by a map, without either model."""
