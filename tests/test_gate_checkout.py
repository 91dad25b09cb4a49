"""A checkout's content is found as it is, and the repository stays as it was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from segbench.errors import InputError
from segbench.gate.checkout import Checkout, looked_at
from tests.repositories import commit, everything, git, grow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a few files and one commit."""
    folder = tmp_path / "a repository"
    folder.mkdir()
    commit(
        folder,
        {
            ".gitignore": "*.ignored\n",
            "kept": "kept\n",
            "folder/changed": "old\n",
            "removed": "removed\n",
        },
    )
    return folder


@pytest.fixture
def checkout(repository: Path) -> Iterator[Checkout]:
    """It, looked at."""
    with looked_at(repository) as found:
        yield found


def read(folder: Path) -> dict[str, str]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def make_dirty(repository: Path) -> None:
    """Change, remove, add, stage and ignore files."""
    grow(
        repository,
        {
            "folder/changed": "new\n",
            "untracked/file": "untracked\n",
            "not.ignored": "ignored, but staged\n",
            "is.ignored": "ignored\n",
        },
    )
    (repository / "removed").unlink()
    git(repository, "add", "--force", "not.ignored")


def test_clean_tree_is_its_commit(repository: Path, checkout: Checkout) -> None:
    """A working tree without changes has its commit's content."""
    now = checkout.now()
    assert now == checkout.commit("HEAD")
    assert now.commit == git(repository, "rev-parse", "HEAD")
    assert not now.changed


def test_dirty_tree_is_taken_as_it_is(repository: Path, checkout: Checkout, tmp_path: Path) -> None:
    """Changes, removals, untracked files and staged ones are content; ignored files are none."""
    make_dirty(repository)
    now = checkout.now()
    assert now.changed
    assert now.commit == git(repository, "rev-parse", "HEAD")
    checkout.export(now, tmp_path / "out")
    assert read(tmp_path / "out") == {
        ".gitignore": "*.ignored\n",
        "folder/changed": "new\n",
        "kept": "kept\n",
        "not.ignored": "ignored, but staged\n",
        "untracked/file": "untracked\n",
    }
    assert checkout.files(now) == set(read(tmp_path / "out"))


def test_same_content_has_one_name(repository: Path, checkout: Checkout) -> None:
    """Content is named alike whether it is committed or not, and differently when it differs."""
    before = checkout.now().tree
    make_dirty(repository)
    dirty = checkout.now().tree
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "what was dirty")
    assert before != dirty
    assert checkout.commit("HEAD").tree == dirty
    assert checkout.commit("HEAD~1").tree == before


def test_older_commit_is_exported(repository: Path, checkout: Checkout, tmp_path: Path) -> None:
    """A commit's files are written as they were, whatever the working tree holds."""
    commit(repository, {"kept": "another\n"})
    make_dirty(repository)
    checkout.export(checkout.commit("HEAD~1"), tmp_path / "out")
    assert read(tmp_path / "out")["kept"] == "kept\n"
    assert "removed" in read(tmp_path / "out")


@pytest.mark.parametrize("stashed", [False, True])
def test_repository_is_left_as_it_was(repository: Path, tmp_path: Path, *, stashed: bool) -> None:
    """No file of the repository is touched, git's own included: objects, index, work trees, stash."""
    make_dirty(repository)
    if stashed:
        git(repository, "stash")
        grow(repository, {"kept": "changed after the stash\n"})
    before = everything(repository)
    with looked_at(repository / "folder") as checkout:
        for number, content in enumerate((checkout.now(), checkout.commit("HEAD"))):
            checkout.files(content)
            checkout.export(content, tmp_path / f"out{number}")
    assert everything(repository) == before


def test_linked_work_tree_has_its_own_content(repository: Path, tmp_path: Path) -> None:
    """In a work tree that is linked to a repository, its own files and index are looked at."""
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "--quiet", "--detach", str(linked))
    grow(linked, {"kept": "in the linked tree\n"})
    with looked_at(linked) as checkout:
        now = checkout.now()
        assert checkout.folder == linked.resolve()
        assert now.changed
        checkout.export(now, tmp_path / "out")
    assert read(tmp_path / "out")["kept"] == "in the linked tree\n"


def test_clone_that_borrows_is_read(repository: Path, tmp_path: Path) -> None:
    """A clone whose objects lie in another repository is looked at like any."""
    git(tmp_path, "clone", "--quiet", "--shared", str(repository), "clone")
    with looked_at(tmp_path / "clone") as checkout:
        checkout.export(checkout.now(), tmp_path / "out")
    assert read(tmp_path / "out")["kept"] == "kept\n"


def test_split_index_is_read(repository: Path, tmp_path: Path) -> None:
    """An index in two files is understood and stays in two."""
    git(repository, "update-index", "--split-index")
    make_dirty(repository)
    before = everything(repository)
    with looked_at(repository) as checkout:
        checkout.export(checkout.now(), tmp_path / "out")
    assert everything(repository) == before
    assert read(tmp_path / "out")["not.ignored"] == "ignored, but staged\n"


def test_variables_of_a_hook_are_not_followed(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that runs segbench for its own repository does not have that one looked at."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other.git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other.index"))
    with looked_at(repository) as checkout:
        assert checkout.folder == repository.resolve()
        assert not checkout.now().changed
    assert not (tmp_path / "other.index").exists()


def test_hooks_do_not_run(repository: Path, tmp_path: Path) -> None:
    """A hook of the user's, such as that of a changed index, is not called for a look."""
    hook = repository / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/called'\n")
    hook.chmod(0o755)
    make_dirty(repository)
    (tmp_path / "called").unlink(missing_ok=True)  # git add of the line above is the user's own
    with looked_at(repository) as checkout:
        checkout.export(checkout.now(), tmp_path / "out")
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("ref", ["nowhere", "HEAD~1", "", "--all", "HEAD^{tree}", "0" * 40])
def test_unknown_commit_is_an_error(checkout: Checkout, ref: str) -> None:
    """What names no commit is said to be none, with the repository and what to do."""
    with pytest.raises(InputError, match=r"no such commit in .*; name one .* or fetch") as caught:
        checkout.commit(ref)
    assert str(caught.value).startswith(f"{ref}: ")


@pytest.mark.parametrize("name", ["main", "HEAD", "a-tag", "annotated"])
def test_any_name_of_a_commit_will_do(repository: Path, checkout: Checkout, name: str) -> None:
    """Branches and tags name commits, and so do parts of a commit's name."""
    git(repository, "tag", "a-tag")
    git(repository, "tag", "--annotate", "--message", "a tag", "annotated")
    full = git(repository, "rev-parse", "HEAD")
    assert checkout.commit(name).commit == full
    assert checkout.commit(full[:10]).commit == full


def test_folder_in_no_repository_is_an_error(tmp_path: Path) -> None:
    """Outside of any repository git's own words are passed on, on one line."""
    with (
        pytest.raises(InputError, match=r"not a git repository.*; a git checkout is needed"),
        looked_at(tmp_path),
    ):
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such scripts")
def test_git_is_asked_for_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git's complaint is looked for in its own language, whatever that of the user."""
    script = tmp_path / "git"
    script.write_text('#!/bin/sh\necho "hint: well" >&2\necho "fatal: in $LC_ALL" >&2\nexit 128\n')
    script.chmod(0o755)
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=": in C; a git checkout"), looked_at(tmp_path):
        pass


def test_repository_without_commits_is_an_error(tmp_path: Path) -> None:
    """Where nothing was ever committed there is nothing to compare with."""
    git(tmp_path, "init", "--quiet")
    with looked_at(tmp_path) as checkout, pytest.raises(InputError, match="HEAD: no such commit"):
        checkout.now()


def test_no_git_is_an_error(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without git on the PATH the user is told to install it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"no git .* install it"), looked_at(repository):
        pass


def test_shallow_clone_lacks_older_commits(repository: Path, tmp_path: Path) -> None:
    """In the clone that CI makes by default the missing commit's error says how to get it."""
    commit(repository, {"kept": "another\n"})
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), "shallow")
    with looked_at(tmp_path / "shallow") as checkout:
        assert not checkout.now().changed
        with pytest.raises(InputError, match="git fetch --unshallow"):
            checkout.commit("HEAD~1")


def test_scratch_files_are_removed(repository: Path, tmp_path: Path) -> None:
    """What a look needs on disk is gone when it ends."""
    make_dirty(repository)
    before = set(tmp_path.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path))
        with looked_at(repository) as checkout:
            checkout.now()
            assert set(tmp_path.iterdir()) > before
    assert set(tmp_path.iterdir()) == before
