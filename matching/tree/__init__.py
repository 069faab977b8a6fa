"""What module paths say: which number of one model stands for which of the other.

- `module_paths.py`: the paths of one model taken apart.
- `number_relations.py`: learning, from matches, which numbered containers go together.
- `path_numbers.py`: asking whether two paths go together.
"""
