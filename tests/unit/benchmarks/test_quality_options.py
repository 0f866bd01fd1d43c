import pytest

from kgrecall.errors import ConfigError
from tests.benchmarks.quality.options import names_in


def test_names_are_read_and_unknown_ones_are_named_with_the_nearest():
    known = ("graph alone", "text")
    assert names_in(" text, graph alone,", known, "--only") == ["text", "graph alone"]
    assert names_in("", known, "--only") == []
    with pytest.raises(ConfigError, match=r"--only.*graf alone.*graph alone"):
        names_in("text,graf alone", known, "--only")
