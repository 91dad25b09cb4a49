"""A checkout's files are found as they are, and the repository stays as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segbench.errors import InputError
from segbench.gate import checkout
from tests.repositories import commit, everything, git, grow

FILES = {
    ".gitignore": "*.ignored\n",
    "kept": "kept\n",
    "folder/changed": "old\n",
    "removed": "removed\n",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a few files and one commit."""
    folder = tmp_path / "a repository"
    folder.mkdir()
    commit(folder, FILES)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where files are written to."""
    return tmp_path / "out" / "tree"


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
            "untracked/ä file": "untracked\n",
            "not.ignored": "ignored, but staged\n",
            "is.ignored": "ignored\n",
        },
    )
    (repository / "removed").unlink()
    git(repository, "add", "--force", "not.ignored")


def test_dirty_tree_is_taken_as_it_is(repository: Path, out: Path) -> None:
    """Changes, removals, untracked files and staged ones are content; ignored files are none."""
    make_dirty(repository)
    assert checkout.changed(repository)
    checkout.export_working_tree(repository, out)
    assert read(out) == {
        ".gitignore": "*.ignored\n",
        "folder/changed": "new\n",
        "kept": "kept\n",
        "not.ignored": "ignored, but staged\n",
        "untracked/ä file": "untracked\n",
    }


def test_links_stay_links(repository: Path, out: Path) -> None:
    """A link in the working tree is copied as one, also where it leads nowhere."""
    (repository / "link").symlink_to("nowhere")
    checkout.export_working_tree(repository, out)
    assert (out / "link").readlink() == Path("nowhere")


def test_commit_is_exported_as_it_was(repository: Path, out: Path) -> None:
    """A commit's files are written as they were, whatever the working tree holds."""
    commit(repository, {"kept": "another\n"})
    make_dirty(repository)
    checkout.export_commit(repository, checkout.commit(repository, "HEAD~1"), out)
    assert read(out) == FILES


def test_only_what_counts_is_a_change(repository: Path) -> None:
    """A clean tree and one with ignored files are unchanged; a new file counts, whatever is set."""
    grow(repository, {"is.ignored": "ignored\n"})
    assert not checkout.changed(repository)
    git(repository, "config", "status.showUntrackedFiles", "no")
    grow(repository, {"untracked": "untracked\n"})
    assert checkout.changed(repository)


@pytest.mark.parametrize("way", ["plain", "stash", "split index", "linked", "borrowed"])
def test_repository_is_left_as_it_was(
    repository: Path, tmp_path: Path, out: Path, way: str
) -> None:
    """No file is touched, git's own included, wherever they lie; and no hook of the user's runs."""
    place = repository
    if way == "stash":
        make_dirty(repository)
        git(repository, "stash")
    elif way == "split index":
        git(repository, "update-index", "--split-index")
        git(repository, "config", "core.splitIndex", "true")
    elif way == "linked":
        place = tmp_path / "linked"
        git(repository, "worktree", "add", "--quiet", "--detach", str(place))
    elif way == "borrowed":
        place = tmp_path / "clone"
        git(tmp_path, "clone", "--quiet", "--shared", str(repository), "clone")
    make_dirty(place)
    # Neither a hook of the user's is to run, nor a monitor of files, whose path must have no space.
    hook, monitor = repository / ".git/hooks/post-index-change", tmp_path / "monitor"
    hook.parent.mkdir(exist_ok=True)
    for script in (hook, monitor):
        script.write_text(f"#!/bin/sh\ntouch '{tmp_path}/called'\n")
        script.chmod(0o755)
    git(place, "config", "core.fsmonitor", str(monitor))
    before = everything(repository), everything(place)
    assert checkout.top(place / "folder") == place.resolve()
    assert checkout.changed(place)
    checkout.export_working_tree(place, out)
    assert read(out)["folder/changed"] == "new\n"
    checkout.export_commit(place, checkout.commit(place, "HEAD"), out.with_name("then"))
    assert read(out.with_name("then")) == FILES
    assert (everything(repository), everything(place)) == before
    assert not (tmp_path / "called").exists()


def test_variables_of_a_hook_are_not_followed(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that runs segbench for its own repository does not have that one looked at."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other.git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other.index"))
    assert checkout.top(repository) == repository.resolve()
    assert not checkout.changed(repository)
    assert not (tmp_path / "other.index").exists()


@pytest.mark.parametrize("ref", ["nowhere", "HEAD~1", "", "--all", "HEAD^{tree}", "0" * 40])
def test_unknown_commit_is_an_error(repository: Path, ref: str) -> None:
    """What names no commit is said to be none, with the repository and what to do."""
    with pytest.raises(InputError, match=r"no such commit in .*; name one .* or fetch") as caught:
        checkout.commit(repository, ref)
    assert str(caught.value).startswith(f"{ref}: ")


def test_any_name_of_a_commit_will_do(repository: Path) -> None:
    """Branches and tags name commits, and so do parts of a commit's name."""
    git(repository, "tag", "a-tag")
    git(repository, "tag", "--annotate", "--message", "a tag", "annotated")
    full = git(repository, "rev-parse", "HEAD")
    for name in ("main", "HEAD", "a-tag", "annotated", full[:10]):
        assert checkout.commit(repository, name) == full


def test_no_repository_no_commits_and_no_git_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git's own words are passed on, on one line, and what to do is said."""
    with pytest.raises(InputError, match=r"not a git repository.*; a git checkout is needed"):
        checkout.top(tmp_path)
    git(tmp_path, "init", "--quiet")
    with pytest.raises(InputError, match="HEAD: no such commit"):
        checkout.commit(tmp_path, "HEAD")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"no git .* install it"):
        checkout.top(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such scripts")
def test_git_is_asked_for_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git's complaint is looked for in its own language, whatever that of the user."""
    script = tmp_path / "git"
    script.write_text('#!/bin/sh\necho "hint: well" >&2\necho "fatal: in $LC_ALL" >&2\nexit 128\n')
    script.chmod(0o755)
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=": in C; a git checkout"):
        checkout.top(tmp_path)


def test_shallow_clone_lacks_older_commits(repository: Path, tmp_path: Path) -> None:
    """In the clone that CI makes by default the missing commit's error says how to get it."""
    commit(repository, {"kept": "another\n"})
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), "shallow")
    assert not checkout.changed(tmp_path / "shallow")
    with pytest.raises(InputError, match="git fetch --unshallow"):
        checkout.commit(tmp_path / "shallow", "HEAD~1")
