"""Text from others on a terminal, in JSON and in a line of code."""

import json

from padiff_graph.printable import code_comment, json_text, printable

STEERING = "\x1b[31m\x9b2J\u202e\u2028\ud800\x07"


def test_a_terminal_gets_escapes():
    shown = printable(f"a{STEERING}\n\tb")
    assert shown.replace("\n", "").replace("\t", "").isprintable()
    assert shown.endswith("\n\tb")
    assert "\n" not in code_comment("a\nb")


def test_json_is_the_same_data_and_steers_nothing():
    data = {f"name{STEERING}": [f"é{STEERING}\n", 1.5]}
    text = json_text(data)
    assert json.loads(text) == data
    assert text.replace("\n", "").isprintable()
    assert "é" in text
