from padiff_graph.matching.tree.path_numbers import Names


def test_a_flat_list_goes_with_blocks_counted_through_stages():
    stages = ((0, 1), (1, 1), (2, 1), (3, 3), (4, 2))
    flat = [f"block{number}.conv" for number in range(8)]
    staged = [f"blocks.{stage}.{place}.conv" for stage, count in stages for place in range(count)]
    names = Names(flat, staged)
    names.learn([(0, 0), (1, 1), (2, 2), (3, 3)])  # so far the stage's number would do as well
    assert all(names.agree(number, number) for number in range(8))
    assert names.agree(4, 5) is False


def test_a_run_shifted_by_a_missing_block_teaches_no_numbers():
    first = [f"blocks.{number}.conv" for number in range(8)]
    second = [f"layers.{number}.conv" for number in range(8)]
    names = Names(first, second)
    names.learn(
        [(3, 4), (4, 5), (5, 6)]
    )  # both models have blocks 0 to 7, so none can be the next one's
    assert names.agree(3, 4) is None
    names.learn([(0, 0), (1, 1), (2, 2), (3, 4), (4, 5)])
    assert names.agree(3, 4) is not True
    other = Names(first, [f"layers.{number}.conv" for number in range(1, 9)])
    other.learn([(3, 3), (4, 4), (5, 5)])
    assert other.agree(3, 3) is True  # numbered from one


def test_numbers_that_are_not_apart_by_the_same_throughout_teach_nothing():
    fires = (3, 4, 5, 7, 8, 9, 10, 12)
    names = Names(
        [f"fire{number}.squeeze" for number in range(1, 9)],
        [f"features.{number}.squeeze" for number in range(13) if number in fires],
    )
    names.learn([(3, 3), (4, 4), (5, 5), (6, 6), (7, 7)])
    assert names.agree(0, 1) is not True


def test_stages_named_by_their_first_block_are_not_stages_counted_from_zero():
    heads = (0, 1, 3, 5, 8, 11, 15)
    first = [f"blocks.{number}.conv" for number in heads]
    names = Names(first, [f"blocks.{stage}.0.conv" for stage in range(len(heads))])
    names.learn([(0, 0), (1, 1)])  # the first two are alike by chance
    assert names.agree(2, 2) is not False  # block 3, stage 2
    assert names.agree(2, 3) is not True  # block 3, stage 3
    missing = Names(first[:4], [f"blocks.{number}.0.conv" for number in range(6)])
    missing.learn([(0, 0), (1, 1)])  # most of the fewer numbers are in both
    assert missing.agree(2, 3) is True


def test_names_are_firm_only_where_they_cover_every_number():
    first = [f"stage{outer}.layers.{inner}.fc" for outer in range(3) for inner in range(3)]
    second = [f"parts.{outer}.blocks.{inner}.linear" for outer in range(3) for inner in range(3)]
    names = Names(first, second)
    names.learn([(number, number) for number in range(9)])
    assert names.agree(4, 4) is True and names.firm(4, 4)
    inner_alone = [f"stage{outer}.layers.{inner}.fc" for outer in range(3) for inner in range(3)]
    shuffled = [
        f"parts.{outer}.blocks.{(2 * inner + outer) % 3}.linear"
        for outer in range(3)
        for inner in range(3)
    ]
    names = Names(inner_alone, shuffled)
    names.learn([(number, number) for number in range(9)])
    assert names.agree(4, 4) is True and not names.firm(4, 4)  # the inner numbers say nothing


def test_a_word_that_the_other_model_uses_elsewhere_is_not_firm():
    first = [
        f"layers.{number}.{part}" for number in range(3) for part in ("self_attn", "cross_attn")
    ]
    second = [
        f"layers.{number}.{part}" for number in range(3) for part in ("self_attn", "encoder_attn")
    ]
    names = Names(first, second)
    names.learn([(number, number) for number in range(6)])
    assert names.firm(1, 1) and names.firm(0, 0)
    names.learn([(0, 1), (2, 3), (4, 5)])
    assert not names.firm(0, 1)
