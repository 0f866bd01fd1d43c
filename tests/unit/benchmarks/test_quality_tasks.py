"""The benchmark sets: mappings that hold together, released splits, reshaped files, refusals."""

import pyarrow.parquet as pq
import pytest

from kgrecall.errors import ConfigError, NotBuilt
from kgrecall.schema import GraphSchema
from tests.benchmarks.quality import reshape, tasks


@pytest.mark.parametrize("bench", tasks.SETS.values(), ids=tasks.SETS)
def test_every_set_has_a_mapping_that_holds_together_and_known_measures(bench):
    assert GraphSchema.load(bench.mapping).files
    assert tasks.parse_measure(bench.measures[0]).higher_is_better


PAIRS = {
    "item_list.txt": "org_id remap_id\nB0 0\nB1 1\nB2 2\nB3 3\n",
    "train.txt": "0 0 1\n1 1 2\n2 0 1 2\n",
    "test.txt": "0 2 3\n1 3\n2 3\n",
}


@pytest.fixture
def data(tmp_path, monkeypatch):
    folder = tmp_path / "lightgcn-gowalla"
    folder.mkdir()
    for name, text in PAIRS.items():
        (folder / name).write_text(text)
    monkeypatch.setenv("KGRECALL_BENCH_DATA", str(tmp_path))
    monkeypatch.setenv("KGRECALL_CACHE", str(tmp_path / "cache"))
    return folder


def pairs(snapshot, events):
    ids = zip(snapshot.users.ids_at(events.user_pos), snapshot.items.ids_at(events.item_pos), strict=True)
    return sorted(ids)


def test_a_released_split_is_read_through_the_store(data, capsys):
    task = tasks.load("gowalla")
    assert pairs(task.snapshot, task.split.test) == [("0", "2"), ("0", "3"), ("1", "3"), ("2", "3")]
    learned = pairs(task.snapshot, task.for_test.train)
    assert learned == [("0", "0"), ("0", "1"), ("1", "1"), ("1", "2"), ("2", "0"), ("2", "1"), ("2", "2")]
    assert len(task.split.valid) == 1  # a tenth of seven events, carved from train
    assert "quarantined" in capsys.readouterr().out


def test_nothing_of_test_is_seen_while_learning(data):
    task = tasks.load("gowalla")
    for problem, hidden in ((task.for_valid, task.split.valid), (task.for_test, task.split.test)):
        seen = set(pairs(task.snapshot, problem.snapshot.interactions()))
        assert seen == set(pairs(task.snapshot, problem.train))
        assert not seen & set(pairs(task.snapshot, hidden))
        assert not set(pairs(task.snapshot, problem.exclude)) & set(pairs(task.snapshot, hidden))


def test_pairs_of_train_are_not_asked_for_again(data):
    (data / "test.txt").write_text("0 1 3\n")
    task = tasks.load("gowalla")
    assert pairs(task.snapshot, task.split.test) == [("0", "3")]


def test_a_set_is_imported_once_and_again_when_its_files_change(data, capsys):
    first = tasks.load("gowalla")
    capsys.readouterr()
    assert tasks.load("gowalla").snapshot.fingerprint == first.snapshot.fingerprint
    assert "the snapshot of an earlier run" in capsys.readouterr().out
    (data / "test.txt").write_text("0 2 3\n1 3\n2\n")
    assert len(tasks.load("gowalla").split.test) == 3
    assert "quarantined" in capsys.readouterr().out


def test_an_unknown_set_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'gowalla'"):
        tasks.load("gowala")


@pytest.mark.parametrize("root", [None, "/nowhere"])
def test_without_data_the_remedy_is_said(monkeypatch, root):
    monkeypatch.delenv("KGRECALL_BENCH_DATA", raising=False)
    if root:
        monkeypatch.setenv("KGRECALL_BENCH_DATA", root)
    with pytest.raises(NotBuilt, match="Set KGRECALL_BENCH_DATA to the folder"):
        tasks.load("gowalla")


def test_line_numbers_of_beauty_become_ids(tmp_path):
    files = {
        "item_short_text.txt": "P1 soft soap\nP2 comb\n",
        "user_sequence.txt": "U1 P2 P1\nU2 P1\n",
        "pgpr_product.txt": "P2\nP1\n",
        "pgpr_related_product.txt": "X\nP1\n",
        "pgpr_brand.txt": "Acme\n",
        "pgpr_category.txt": "Hair\nSkin\n",
        "pgpr_also_bought_p_p.txt": "1 0\n\n",
        "pgpr_also_viewed_p_p.txt": "\n0\n",
        "pgpr_bought_together_p_p.txt": "\n\n",
        "pgpr_brand_p_b.txt": "0\n\n",
        "pgpr_category_p_c.txt": "0\n1\n",
    }
    raw, into = tmp_path / "raw", tmp_path / "tables"
    raw.mkdir()
    into.mkdir()
    for name, text in files.items():
        (raw / name).write_text(text)
    reshape.beauty(raw, into)
    read = {path.stem: pq.read_table(path).to_pydict() for path in into.iterdir()}
    assert read["products"] == {"product": ["P1", "P2"], "words": ["soft soap", "comb"]}
    assert read["reviewed"] == {"user": ["U1", "U1", "U2"], "product": ["P2", "P1", "P1"], "place": [0, 1, 0]}
    assert read["also_bought"] == {"product": ["P2", "P2"], "tail": ["P1", "X"]}
    assert read["also_viewed"] == {"product": ["P1"], "tail": ["X"]}
    assert read["bought_together"] == {"product": [], "tail": []}
    assert read["made_by"] == {"product": ["P2"], "tail": ["Acme"]}
    assert read["in_category"] == {"product": ["P2", "P1"], "tail": ["Hair", "Skin"]}


def test_plots_are_taken_for_the_catalogue_only(tmp_path):
    raw, into = tmp_path / "raw", tmp_path / "tables"
    raw.mkdir()
    into.mkdir()
    (raw / "products.txt").write_text("pid\tname\n1\tToys\n3\tHeat\n")
    described = [(1, "Dolls talk."), (2, "Not here."), (3, "N/A")]
    (raw / "omdb_metadata.jsonl").write_text("".join(f'{{"movie_id": {i}, "omdb": {{"Plot": "{p}"}}}}\n' for i, p in described))
    reshape.ml1m(raw, into)
    assert pq.read_table(into / "plots.parquet").to_pydict() == {"pid": ["1"], "plot": ["Dolls talk."]}
    assert (into / "products.txt").read_text().startswith("pid")
