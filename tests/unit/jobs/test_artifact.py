"""A build is whole or absent, and every damage is named."""

from __future__ import annotations

import errno
import json
import os
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from kgrecall.errors import ConfigError, CorruptArtifact, NotBuilt, StaleArtifact
from kgrecall.jobs import artifact as artifact_module
from kgrecall.jobs.artifact import Artifact, ArtifactWriter, builds, current_build, rollback


def write(out: Path, value: float = 1.0) -> str:
    with ArtifactWriter(out) as writer:
        writer.array("vectors", np.full((3, 2), value, np.float32))
        writer.matrix("knn", sparse.csr_array(np.array([[0, value, 0], [0, 0, 2]], np.float32)))
        writer.manifest["seed"] = 7
    return writer.name


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    name = write(tmp_path / "model")
    artifact = Artifact(tmp_path / "model")
    assert artifact.folder.name == name
    assert artifact.manifest["seed"] == 7
    assert artifact.array("vectors").tolist() == [[1, 1], [1, 1], [1, 1]]
    assert isinstance(artifact.array("vectors").base, np.memmap)
    assert artifact.matrix("knn").toarray().tolist() == [[0, 1, 0], [0, 0, 2]]


def test_a_reader_sees_the_new_build_and_can_go_back(tmp_path: Path) -> None:
    first, second = write(tmp_path, 1.0), write(tmp_path, 2.0)
    assert Artifact(tmp_path).array("vectors")[0, 0] == 2.0
    assert rollback(tmp_path) == first
    assert Artifact(tmp_path).array("vectors")[0, 0] == 1.0
    assert builds(tmp_path) == [first, second]
    with pytest.raises(NotBuilt, match="an earlier build"):
        rollback(tmp_path)


def test_only_the_newest_builds_are_kept(tmp_path: Path) -> None:
    names = [write(tmp_path, float(i)) for i in range(4)]
    assert builds(tmp_path) == names[-2:]


def test_the_build_that_was_gone_back_to_is_kept_and_not_the_one_that_was_left(tmp_path: Path) -> None:
    good, _ = write(tmp_path, 0.0), write(tmp_path, 1.0)
    rollback(tmp_path)
    newest = write(tmp_path, 2.0)
    assert builds(tmp_path) == [good, newest]
    assert rollback(tmp_path) == good


def test_what_a_killed_build_left_is_removed_by_the_next_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    killed = tmp_path / ".build-20260101-000000-000000-abcd.01234567.partial"
    killed.mkdir(parents=True)
    (killed / "vectors.npy").write_bytes(b"half")
    fresh = tmp_path / ".build-20260101-000000-000001-abcd.01234567.partial"
    fresh.mkdir()
    with ArtifactWriter(tmp_path) as living:
        for folder in (killed, living.folder):
            os.utime(folder, (0, 0))
        write(tmp_path)
        assert living.folder.is_dir()
        assert not killed.exists()
        assert fresh.is_dir(), "may be about to be locked"


def test_a_full_disk_at_the_end_leaves_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifact_module, "seal", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_read_meanwhile_is_not_taken_for_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), ArtifactWriter(tmp_path):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    with pytest.raises(FileNotFoundError), ArtifactWriter(tmp_path):
        Path(tmp_path, "weights.bin").read_bytes()
    assert not list(tmp_path.iterdir())


def test_an_error_leaves_the_old_build_and_nothing_else(tmp_path: Path) -> None:
    name = write(tmp_path)

    def broken_build() -> None:
        with ArtifactWriter(tmp_path) as writer:
            writer.array("vectors", np.zeros(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_build()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "current"])
    assert Artifact(tmp_path).array("vectors").shape == (3, 2)


@pytest.mark.parametrize("victim", ["vectors.npy", "knn.indices.npy"])
def test_a_flipped_byte_is_found_and_named(tmp_path: Path, victim: str) -> None:
    write(tmp_path)
    path = current_build(tmp_path) / victim
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptArtifact, match=victim):
        Artifact(tmp_path)


def test_a_short_file_is_found_even_without_checksums(tmp_path: Path) -> None:
    write(tmp_path)
    path = current_build(tmp_path) / "vectors.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptArtifact, match="bytes"):
        Artifact(tmp_path, verify=False)


def test_a_lost_file_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (current_build(tmp_path) / "knn.data.npy").unlink()
    with pytest.raises(CorruptArtifact, match=r"knn\.data\.npy"):
        Artifact(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {}}'])
def test_a_damaged_manifest_is_an_error_of_ours(tmp_path: Path, text: str) -> None:
    write(tmp_path)
    (current_build(tmp_path) / "manifest.json").write_text(text)
    with pytest.raises(CorruptArtifact, match="manifest"):
        Artifact(tmp_path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = current_build(tmp_path) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 99}))
    with pytest.raises(StaleArtifact, match="99"):
        Artifact(tmp_path)


def test_nothing_built(tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="kgrecall build"):
        Artifact(tmp_path)


def test_a_dangling_pointer_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "current").write_text("build-gone")
    with pytest.raises(CorruptArtifact, match="build-gone"):
        Artifact(tmp_path)


def test_a_file_in_the_way_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file")
    with pytest.raises(ConfigError, match="a folder"):
        write(tmp_path / "model")


def _publish(out: Path, number: int, errors: Queue[str]) -> None:
    for _ in range(number):
        try:
            write(out)
        except Exception as error:  # told to the parent
            errors.put(f"{type(error).__name__}: {error}")


def test_builds_that_end_at_the_same_moment_leave_one_that_is_served(tmp_path: Path) -> None:
    context = get_context("spawn")
    errors: Queue[str] = context.Queue()
    children = [context.Process(target=_publish, args=(tmp_path, 15, errors)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert errors.empty()
    assert Artifact(tmp_path).array("vectors").tolist() == [[1, 1], [1, 1], [1, 1]]
    assert len(builds(tmp_path)) <= 3


def test_a_build_folder_has_nothing_to_roll_back_to(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path)
    with pytest.raises(NotBuilt, match="an earlier build"):
        rollback(current_build(tmp_path))
    (tmp_path / "current").write_bytes(b"\xff\xfe")
    with pytest.raises(CorruptArtifact, match="the name of a build"):
        Artifact(tmp_path)
