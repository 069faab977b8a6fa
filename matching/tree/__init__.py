"""What module paths say: templates, numbers, and which number of one model stands for which of the
other."""
