from padiff_graph.matching.tree.module_paths import split_path


def test_paths_split_into_template_and_numbers():
    assert split_path("encoder.layers.11.linear1") == ("encoder.layers.#.linear1", (11,))
    assert split_path("layer2.0.conv1") == ("layer#.#.conv1", (2, 0))
