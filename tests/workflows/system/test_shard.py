import pytest

from gliomaseg.workflows.system.files import InputError
from gliomaseg.workflows.system.shard import Shard, parse_shard


@pytest.mark.parametrize("words", ["3/8", " 3 / 8 ", "03/08"])
def test_a_shard_is_read_as_people_write_it(words):
    assert parse_shard(words) == Shard(3, 8)
    assert parse_shard(words).name == "3-of-8"


@pytest.mark.parametrize(
    "words", ["", "3", "0/8", "9/8", "-1/8", "3/0", "1/2/3", "a/b", "1.5/8", "3 of 8", "٣/٨"]
)
def test_what_is_no_shard_is_refused_with_the_way_to_count(words):
    with pytest.raises(InputError) as refused:
        parse_shard(words)
    assert str(refused.value) == (
        f"A shard is its number and how many there are, from 1/8 to 8/8 for eight, got {words!r}; where a "
        "scheduler counts from 0, add 1."
    )


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
def test_every_study_is_in_one_shard_and_the_shards_are_alike_in_size(count):
    studies = list(range(7))
    shares = [Shard(number, count).of(studies) for number in range(1, count + 1)]
    assert sorted(study for share in shares for study in share) == studies
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(share == sorted(share) for share in shares)
