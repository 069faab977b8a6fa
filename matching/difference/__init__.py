"""What a matching leaves different, one cause at a time."""
