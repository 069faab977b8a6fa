"""Weights in .safetensors files: opened, checked, read tensor by tensor when they are asked for.

`late_files.py` is the door; `shards.py` says where the parts of a large model are, and
`safetensors_file.py` reads one file.
"""
