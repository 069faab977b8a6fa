"""Silent bugs of real ports, rebuilt small, for every tool that says where two models differ.

`python -m benchmarks.realbugs` runs them; README.md says how a case and how a tool is added.
"""
