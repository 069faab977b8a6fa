from padiff_graph.matching.unique_keys import only_pairs


def test_keys_that_stand_once_on_each_side_make_pairs_in_the_first_sides_order():
    first = [("b", 0), ("a", 1), ("c", 2), ("c", 3), ("d", 4)]
    second = [("a", 5), ("b", 6), ("c", 7), ("d", 8), ("d", 9)]
    assert only_pairs(first, second) == [(0, 6), (1, 5)]


def test_a_node_that_comes_twice_under_one_key_is_one():
    assert only_pairs([("a", 0), ("a", 0)], [("a", 3), ("a", 3)]) == [(0, 3)]
    assert only_pairs([("a", 0), ("a", 1), ("a", 0)], [("a", 3)]) == []
