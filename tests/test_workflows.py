"""What the workflows of `.github/` may do, and what their scripts do."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from segbench.cli import main
from tests import sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

# What docs/how-to/regressions.md shows.
EXAMPLES = re.findall(
    r"^```\w+\n(.*?)^```$",
    (ROOT / "docs" / "how-to" / "regressions.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)

# The jobs that may write, and what.
WRITERS = {
    ("gate-comment", "comment"): {"pull-requests"},
    ("weekly", "tell"): {"issues"},
    ("asv", "keep"): {"contents"},
    ("asv", "publish"): {"id-token", "pages"},
}

# A commit of an action, and the release that it is.
PINNED = re.compile(r"([\w-]+/[\w/-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)")

SHA = "0123456789abcdef0123456789abcdef01234567"
HEAD = f"{SHA} someone/segbench"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a job.

    Attributes
    ----------
    workflow, job : str
        Where it is: the name of the file without its ending, the key of the job.
    content : dict
        As YAML has it.
    """

    workflow: str
    job: str
    content: Mapping[str, Any]

    @property
    def script(self) -> str:
        """What it runs; empty where it uses an action."""
        return str(self.content.get("run", ""))


def load(path: Path) -> dict[Any, Any]:
    """A workflow; its ``on`` is the key True, as YAML 1.1 has it."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def steps() -> Iterator[Step]:
    """Every step of every workflow."""
    for path in WORKFLOWS:
        for job, content in load(path)["jobs"].items():
            for step in content["steps"]:
                yield Step(workflow=path.stem, job=job, content=step)


def script(workflow: str, job: str, name: str) -> str:
    """The script of one step."""
    (found,) = (
        step.script
        for step in steps()
        if (step.workflow, step.job, step.content.get("name")) == (workflow, job, name)
    )
    return found


def segbench_commands(text: str) -> Iterator[list[str]]:
    """Words of the segbench commands in a shell script or in an example, arrays filled in."""
    text = text.replace("\\\n", " ")
    arrays = dict(re.findall(r"(\w+)\+=\((.*)\)", text))
    for command in re.findall(r"(?:^|run:|\$)\s*(segbench .*?)(?:\|\||$)", text, re.MULTILINE):
        for name, words in arrays.items():
            command = command.replace(f'"${{{name}[@]}}"', words)  # noqa: PLW2901  (one at a time)
        yield shlex.split(command)


everywhere = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def test_actions_are_pinned() -> None:
    """Every action is named by a commit, with its release behind; one release of each is used."""
    used: dict[str, set[tuple[str, str]]] = {}
    for path in WORKFLOWS:
        for line in re.findall(r"uses:\s*(.*)", path.read_text(encoding="utf-8")):
            match = PINNED.fullmatch(line)
            assert match, f"{path.name}: {line}"
            used.setdefault(match[1], set()).add((match[2], match[3]))
    assert used
    assert all(len(releases) == 1 for releases in used.values()), used


@everywhere
def test_permissions_are_named_job_by_job(path: Path) -> None:
    """A workflow has no permissions, its jobs those that they name; few may write, and little."""
    content = load(path)
    assert content["permissions"] == {}
    for job, described in content["jobs"].items():
        written = {what for what, how in described["permissions"].items() if how != "read"}
        assert written == WRITERS.get((path.stem, job), set()), job


def test_what_may_write_runs_nothing_of_the_project() -> None:
    """A job that may write checks nothing out, and its scripts start no Python."""
    looked_at = set()
    for step in steps():
        if (step.workflow, step.job) in WRITERS:
            looked_at.add((step.workflow, step.job))
            assert "actions/checkout" not in step.content.get("uses", "")
            assert not re.search(r"^\s*(python|pip|make|segbench|asv) ", step.script, re.MULTILINE)
    assert looked_at == set(WRITERS)


def test_the_comment_takes_no_action() -> None:
    """The workflow that comments on strangers' pull requests is a script that is all there."""
    (step,) = (step for step in steps() if step.workflow == "gate-comment")
    assert set(step.content) == {"name", "env", "run"}


@everywhere
def test_strangers_meet_no_token(path: Path) -> None:
    """No workflow runs a stranger's code as the project's own, and none has secrets."""
    text = path.read_text(encoding="utf-8")
    assert "pull_request_target" not in text
    assert "secrets" not in re.sub(r"#.*", "", text)
    if "pull_request" in load(path)[True]:
        assert "github.token" not in text


def test_scripts_hold_no_expressions() -> None:
    """Text of GitHub's comes into a script through its environment, never into its source."""
    assert not [step for step in steps() if "${{" in step.script]


def test_checkouts_leave_no_credentials() -> None:
    """What is checked out is followed by code that needs no token, so none is left there."""
    checkouts = [s for s in steps() if s.content.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step.content["with"]["persist-credentials"] is False for step in checkouts)


def test_caches_of_pull_requests_have_names_of_their_own() -> None:
    """The gate alone keeps its images, under a name that says whose they are."""
    caches = [s for s in steps() if s.content.get("uses", "").startswith("actions/cache")]
    assert {step.workflow for step in caches} == {"gate"}
    assert all(step.content["with"]["key"].startswith("gate-pull-request-") for step in caches)
    assert all("restore-keys" not in step.content["with"] for step in caches)


@everywhere
def test_jobs_end(path: Path) -> None:
    """Each job says how long it may take, and runs of a workflow do not pile up."""
    content = load(path)
    assert all(job["timeout-minutes"] <= 90 for job in content["jobs"].values())
    assert content["concurrency"]["group"]


def test_linux_runs_what_developers_run() -> None:
    """On Linux the tests are `.ci/run`, from the oldest Python on that segbench is for."""
    (step,) = (s for s in steps() if (s.workflow, s.job) == ("tests", "linux") if s.script)
    assert step.script == ".ci/run"
    pythons = load(ROOT / ".github/workflows/tests.yml")["jobs"]["linux"]["strategy"]["matrix"]
    oldest = pythons["python"][0]
    assert f'requires-python = ">={oldest}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    "words",
    [
        *(words for step in steps() for words in segbench_commands(step.script)),
        *segbench_commands("\n".join(EXAMPLES)),
    ],
    ids=" ".join,
)
def test_segbench_commands_are_accepted(words: list[str]) -> None:
    """Each segbench command of a workflow and of docs/how-to/regressions.md has options that are known."""
    _, name, *options = words
    context = main.make_context("segbench", [name])
    command = main.get_command(context, name)
    assert command is not None
    command.make_context(name, options, parent=context)


def test_the_commands_are_found() -> None:
    """The test above looks at the commands of all workflows that have one, and of the examples."""
    found = {
        (step.workflow, words[1]) for step in steps() for words in segbench_commands(step.script)
    }
    runs = {("runs", "verify"), ("runs", "report")}
    assert found == {("gate", "gate"), ("weekly", "gate"), ("asv", "report"), *runs}
    examples = "\n".join(EXAMPLES)
    assert len(list(segbench_commands(examples))) == examples.count("segbench gate") > 0


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs scripts as GitHub does, with programs that only say what they were asked.

    Attributes
    ----------
    folder : Path
        The script's working folder.
    tools : Path
        Found first: ``gh`` (see `fake_gh`), and what `add` adds.
    temp : Path
        ``RUNNER_TEMP``.
    """

    folder: Path
    tools: Path
    temp: Path

    def add(self, name: str, text: str) -> None:
        """Add a program, a shell script."""
        program = self.tools / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def answer(self, **answers: object) -> None:
        """What ``gh`` is to answer."""
        (self.tools / "answers.json").write_text(json.dumps(answers))

    def calls(self) -> list[tuple[list[str], str]]:
        """What ``gh`` was asked, each time with the text of the file that was sent."""
        lines = (self.tools / "calls.jsonl").read_text(encoding="utf-8").splitlines()
        return [(call["words"], call["text"]) for call in map(json.loads, lines)]

    def run(self, text: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script."""
        return subprocess.run(  # noqa: S603  (bash, on a script of the repository)
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text],  # noqa: S607  (as GitHub finds it)
            cwd=self.folder,
            env={
                "PATH": f"{self.tools}{os.pathsep}{os.environ['PATH']}",
                "FAKE_GH": str(self.tools),
                "RUNNER_TEMP": str(self.temp),
                "GITHUB_REPOSITORY": "segbench/segbench",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_RUN_ID": "7",
                "GITHUB_SHA": SHA,
                "GITHUB_OUTPUT": str(self.temp / "output"),
                "GITHUB_STEP_SUMMARY": str(self.temp / "summary"),
                "GIT_CONFIG_GLOBAL": os.devnull,
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A runner whose ``gh`` knows nothing yet."""
    if os.name == "nt" or any(shutil.which(name) is None for name in ("bash", "jq", "unzip")):
        pytest.skip("the scripts are for GitHub's Linux: bash, jq (inside gh) and unzip")
    found = Runner(folder=tmp_path / "work", tools=tmp_path / "tools", temp=tmp_path / "temp")
    for folder in (found.folder, found.tools, found.temp):
        folder.mkdir()
    program = Path(__file__).with_name("fake_gh.py")
    found.add("gh", shlex.join(["exec", sys.executable, "-IS", str(program)]) + ' "$@"')
    return found


API = "repos/segbench/segbench"
COMMENT = script("gate-comment", "comment", "Write or update the comment")


def comment(
    runner: Runner,
    *,
    number: str | bytes = "12\n",
    status: str = "1\n",
    text: str | bytes = "## A regression\n",
    head: object = None,
    size: int = 1000,
    comments: object = (),
) -> tuple[subprocess.CompletedProcess[str], list[tuple[str, str, str]]]:
    """Run the script of gate-comment.yml on an artifact.

    Returns
    -------
    CompletedProcess, list of tuple of str
        How it ended; method, path and text of what it wrote to GitHub.
    """
    artifact = runner.tools / "artifact.zip"
    with zipfile.ZipFile(artifact, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("number", number)
        archive.writestr("status", status)
        archive.writestr("gate.md", text)
    own = (
        {"head": {"sha": SHA, "repo": {"full_name": "someone/segbench"}}} if head is None else head
    )
    runner.answer(
        **{
            f"{API}/actions/runs/99/artifacts?name=gate": {
                "artifacts": [{"id": 5, "size_in_bytes": size}]
            },
            f"{API}/actions/artifacts/5/zip": str(artifact),
            f"{API}/pulls/12": own,
            f"{API}/issues/12/comments": comments,
            f"{API}/issues/comments/3": {},
        }
    )
    done = runner.run(COMMENT, RUN="99", RUN_URL="https://example.org/99", HEAD=HEAD)
    written = [
        (words[words.index("--method") + 1], words[words.index("--method") + 2], text)
        for words, text in runner.calls()
        if "--method" in words
    ]
    return done, written


@pytest.mark.parametrize(
    ("status", "words"),
    [("0", "no regression"), ("1", "a regression or a failure"), ("2", "not measure")],
)
def test_a_first_comment_is_posted(runner: Runner, status: str, words: str) -> None:
    """It has the marker, the commit, the run, and what the gate said."""
    done, written = comment(runner, status=f"{status}\n")
    assert done.returncode == 0, done.stderr
    ((method, path, text),) = written
    assert (method, path) == ("POST", f"{API}/issues/12/comments")
    assert text.startswith("<!-- segbench gate -->\n")
    assert text.endswith("\n```text\n## A regression\n\n```\n")
    assert words in text
    # That anything may be said stands before what is said.
    assert text.index("may say anything") < text.index(words)
    assert SHA in text
    assert "someone/segbench" not in text
    assert "https://example.org/99" in text


def test_a_later_comment_replaces_the_first(runner: Runner) -> None:
    """Only a comment of the workflow's own is updated, whatever others begin theirs with."""
    body = "<!-- segbench gate -->\nbefore"
    comments = [
        {"id": 1, "user": {"login": "someone"}, "body": body},
        {"id": 2, "user": {"login": "github-actions[bot]"}, "body": f"> {body}"},
        {"id": 3, "user": {"login": "github-actions[bot]"}, "body": body},
        {"id": 4, "user": {"login": "github-actions[bot]"}, "body": body},
    ]
    done, written = comment(runner, comments=comments)
    assert done.returncode == 0, done.stderr
    assert [(method, path) for method, path, _ in written] == [
        ("PATCH", f"{API}/issues/comments/3")
    ]


@pytest.mark.parametrize(
    "number",
    ["", "0", "-1", "12 ", "12;id", "$(id)", "../12", "12/comments", "12\n13", b"\x00\xff"],
)
def test_a_number_is_digits(runner: Runner, number: str | bytes) -> None:
    """What names no pull request is not asked after."""
    done, written = comment(runner, number=number)
    assert done.returncode == 1
    assert "names no pull request" in done.stdout
    assert not written
    assert not any("/pulls/" in word for words, _ in runner.calls() for word in words)


@pytest.mark.parametrize(
    "head",
    [
        {"head": {"sha": SHA[::-1], "repo": {"full_name": "someone/segbench"}}},
        {"head": {"sha": SHA, "repo": {"full_name": "another/segbench"}}},
        {"head": {"sha": SHA, "repo": None}},
    ],
    ids=["commit", "repository", "gone"],
)
def test_another_pull_request_is_left_alone(runner: Runner, head: object) -> None:
    """A run comments on the pull request that it ran for, and on no other that it may name."""
    done, written = comment(runner, head=head)
    assert done.returncode == 0
    assert "another head" in done.stdout
    assert not written


def test_an_artifact_has_its_size(runner: Runner) -> None:
    """One that is too large is not fetched."""
    done, written = comment(runner, size=10_000_000)
    assert done.returncode == 0
    assert "::notice::" in done.stdout
    assert not written
    assert len(runner.calls()) == 1


@pytest.mark.parametrize("sign", ["x", "@", "é", b"\xff"], ids=["letter", "at", "accent", "broken"])
def test_a_comment_has_its_size(runner: Runner, sign: str | bytes) -> None:
    """However much an artifact unpacks to, the comment is one that GitHub takes, and is UTF-8."""
    done, written = comment(runner, text=sign * 5_000_000)
    assert done.returncode == 0, done.stderr
    ((_, _, text),) = written
    assert len(text) < 65_536


HOSTILE = [
    "@someone: see a@b, @org/team",
    "&#64;someone &commat;someone",
    "owner/repo#1 and #2 and GH-3",
    "[a link](https://example.org) ![a picture](https://example.org/a.png)",
    "<img src=x onerror=alert(1)> <!-- a comment",
    "```\n@someone\n```\n~~~\n[out](https://example.org)",
    "    ````text\n@someone",
    "\x1b[31mred\x1b[0m \u202eturned \u200bwide\ufeff",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_strangers_write_is_plain_text(runner: Runner, hostile: str) -> None:
    """All of it stands in one block of code: nobody is called, and nothing is a link or a picture."""
    done, ((_, _, text),) = comment(runner, text=hostile)
    assert done.returncode == 0, done.stderr
    before, inside, after = text.split("```")
    assert "may say anything" in before
    assert inside.startswith("text\n")
    assert after == "\n"
    assert not re.search(r"@\w", text)
    assert all(letter.isprintable() for letter in inside.replace("\n", "").replace("@\u200b", ""))


def program(log: Path, status: int, *, starts: bool = True) -> str:
    """A segbench that writes down its words, and files where it is told to, if it `starts`."""
    writes = (
        'while [ "$1" != --markdown ]; do shift; done\n'
        'echo "## Found" > "$2"\n'
        'while [ "$1" != --json ]; do shift; done\n'
        'echo "{}" > "$2"\n'
    )
    words = f'printf "%s\\n" "$@" > {shlex.quote(str(log))}\n'
    return f"{words}{writes if starts else ''}exit {status}"


def git(folder: Path, *words: str) -> str:
    """Run git, and return what it prints."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
    done = subprocess.run(  # noqa: S603  (git, on a repository of the test)
        command, cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("status", [0, 1, 2])
def test_the_gate_measures_from_where_a_branch_began(runner: Runner, status: int) -> None:
    """The base is the merge base, the exit status the gate's own; the checkout stays clean."""
    work = runner.folder
    git(work, "init", "--quiet", "--initial-branch", "main")
    git(work, "commit", "--quiet", "--allow-empty", "--message", "base")
    base = git(work, "rev-parse", "HEAD")
    git(work, "commit", "--quiet", "--allow-empty", "--message", "main moved on")
    target = git(work, "rev-parse", "HEAD")
    git(work, "checkout", "--quiet", "--detach", base)
    git(work, "commit", "--quiet", "--allow-empty", "--message", "head")
    runner.add("python", "exit 0")
    runner.add("segbench", program(runner.temp / "words", status))
    text = script("gate", "measure", "Install segbench and measure")
    done = runner.run(text, TARGET=target, NUMBER="12")
    assert done.returncode == status, done.stderr
    words = (runner.temp / "words").read_text().splitlines()
    assert words[:3] == ["gate", "--base", base]
    found = runner.temp / "found"
    assert (found / "number").read_text() == "12\n"
    assert (found / "status").read_text() == f"{status}\n"
    assert (runner.temp / "summary").read_text() == (found / "gate.md").read_text() == "## Found\n"
    assert git(work, "status", "--porcelain") == ""


def test_a_program_that_does_not_start_is_no_regression(runner: Runner) -> None:
    """Where nothing was measured the status is that of a gate that could not measure."""
    git(runner.folder, "init", "--quiet", "--initial-branch", "main")
    git(runner.folder, "commit", "--quiet", "--allow-empty", "--message", "base")
    runner.add("python", "exit 0")
    runner.add("segbench", program(runner.temp / "words", 1, starts=False))
    text = script("gate", "measure", "Install segbench and measure")
    assert runner.run(text, TARGET="HEAD", NUMBER="12").returncode == 2
    assert (runner.temp / "found" / "status").read_text() == "2\n"


NOW = "dask==2026.9.0\nnumpy==2.5.0\nscipy==1.18.0\nzict==3.0.0\n"
LAST = "dask==2026.8.0\nlocket==1.0.0\nnumpy==2.5.0\nscipy==1.17.1\n"


def weekly(
    runner: Runner,
    *,
    last: str | None,
    accept: str = "",
    status: int = 0,
    conclusion: str = "success",
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the scripts of weekly.yml; return how the last ended, and segbench's words."""
    # pip's list in another order than `comm` needs.
    lines = "\\n".join(reversed(NOW.split()))
    runner.add("python", f"case $3 in list) printf '{lines}\\n' ;; esac")
    runner.add("segbench", program(runner.temp / "words", status))
    if last is None:
        runner.answer(**{"run list": []})
    else:
        jobs = [{"name": "Lowest versions", "conclusion": "failure"}]
        jobs.append({"name": "Measure", "conclusion": conclusion})
        listed = {"run list": [{"databaseId": 6}], "run view": {"jobs": jobs}}
        runner.answer(**listed, **{"run download": last})
    for name in ("Find the versions of the last good run", "Install the newest releases"):
        done = runner.run(script("weekly", "measure", name), ACCEPT=accept)
        assert done.returncode == 0, done.stderr
    assert (runner.temp / "now" / "versions.txt").read_text() == NOW
    done = runner.run(script("weekly", "measure", "Measure"), ACCEPT=accept)
    words = runner.temp / "words"
    return done, words.read_text().splitlines() if words.exists() else []


@pytest.mark.parametrize("status", [0, 1, 2])
def test_weekly_goes_back_to_earlier_releases(runner: Runner, status: int) -> None:
    """The base has the last good run's versions of the libraries that have others now."""
    done, words = weekly(runner, last=LAST, status=status)
    assert done.returncode == status, done.stderr
    assert words[: words.index("--markdown")] == [
        "gate",
        *("--base-with", "dask==2026.8.0"),
        *("--base-with", "locket==1.0.0"),
        *("--base-with", "scipy==1.17.1"),
    ]
    assert (runner.temp / "output").read_text() == f"status={status}\n"


def test_weekly_looks_at_the_job_that_measures(runner: Runner) -> None:
    """A run is no good one if it found a regression, whatever became of the other jobs."""
    done, words = weekly(runner, last=LAST, conclusion="failure")
    assert done.returncode == 0, done.stderr
    assert "nothing to compare with" in done.stdout
    assert not words


@pytest.mark.parametrize("answers", [{}, {"run list": [{"databaseId": 6}]}], ids=["list", "view"])
def test_weekly_stops_where_github_does_not_answer(
    runner: Runner, answers: dict[str, object]
) -> None:
    """A question that failed is not taken for an answer that there was no good run."""
    runner.answer(**answers)
    text = script("weekly", "measure", "Find the versions of the last good run")
    assert runner.run(text, ACCEPT="").returncode == 1


@pytest.mark.parametrize(
    ("printed", "status", "said"),
    [
        ("a: still there (dask 1)\n", 0, "::notice::a: still there (dask 1)\n"),
        (
            "a: still there (dask 1)\nb: mended (pims 2)\nc: failed, Oh: still (pims 2)\n",
            1,
            (
                "::notice::a: still there (dask 1)\n"
                "::error::b: mended (pims 2)\n::error::c: failed, Oh: still (pims 2)\n"
            ),
        ),
    ],
    ids=["still there", "mended"],
)
def test_weekly_tells_what_is_mended(runner: Runner, printed: str, status: int, said: str) -> None:
    """Each fault is an annotation and a line of the summary; one that is mended fails the job."""
    runner.add("python", f"printf %s {shlex.quote(printed)}; exit {status}")
    done = runner.run(script("weekly", "upstream", "Reproduce the faults"))
    assert (done.returncode, done.stdout) == (status, said)
    summary = (runner.temp / "summary").read_text()
    assert summary == "".join(f"- {line}\n" for line in printed.splitlines())


def test_what_the_workflows_make_is_in_the_makefile() -> None:
    """Each target that a workflow makes is one of the Makefile."""
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = {name for step in steps() for name in re.findall(r"\bmake (\w+)", step.script)}
    assert {"lowest", "slow", "prereleases"} <= made <= {*targets}


@pytest.mark.parametrize(
    ("last", "accept", "said"),
    [
        (None, "", "nothing to compare with"),
        (LAST, "true", "nothing to compare with"),
        (NOW, "false", "no library has a new release"),
    ],
    ids=["first", "accepted", "nothing new"],
)
def test_weekly_measures_only_what_differs(
    runner: Runner, last: str | None, accept: str, said: str
) -> None:
    """Without anything to compare it says so, and ends well: its versions are the next base."""
    done, words = weekly(runner, last=last, accept=accept)
    assert done.returncode == 0
    assert f"::notice::{said}" in done.stdout
    assert not words
    assert not (runner.temp / "output").exists()


@pytest.mark.parametrize(("accept", "status"), [("", 1), ("true", 0)])
def test_weekly_forgets_no_versions_by_itself(runner: Runner, accept: str, status: int) -> None:
    """Where the last good run is too old to have its versions, a person accepts today's."""
    jobs = [{"name": "Measure", "conclusion": "success"}]
    runner.answer(**{"run list": [{"databaseId": 6}], "run view": {"jobs": jobs}})
    text = script("weekly", "measure", "Find the versions of the last good run")
    done = runner.run(text, ACCEPT=accept)
    assert done.returncode == status
    assert ("::error::the versions of run 6 are lost" in done.stdout) == (status == 1)
    assert not (runner.temp / "last").exists()


@pytest.mark.parametrize("number", [None, 4])
def test_weekly_has_one_open_issue(runner: Runner, number: int | None) -> None:
    """A regression opens an issue that names the versions; the next ones are comments on it."""
    (runner.folder / "versions.diff").write_text(
        "1c1\n< dask==2026.8.0\n---\n> dask==2026.9.0\n3a4\n> zict==3.0.0\n"
    )
    (runner.folder / "gate.md").write_text("## A regression\n")
    listed = [] if number is None else [{"number": number}]
    names = ("issue create", "issue comment", "label create")
    runner.answer(**{"issue list": listed, **dict.fromkeys(names)})
    text = script("weekly", "tell", "Open an issue, or comment on the one that is open")
    done = runner.run(text, LABEL="library-regression")
    assert done.returncode == 0, done.stderr
    words, sent = runner.calls()[-1]
    assert words[:2] == (["issue", "create"] if number is None else ["issue", "comment"])
    assert number is None or words[2] == str(number)
    assert "```diff\n- dask==2026.8.0\n+ dask==2026.9.0\n+ zict==3.0.0\n```\n" in sent
    assert sent.endswith("\n## A regression\n")
    assert "https://github.com/segbench/segbench/actions/runs/7" in sent


def test_asv_results_are_a_history(runner: Runner, tmp_path: Path) -> None:
    """Each run adds a commit to the branch; results of earlier runs stay."""
    remote = tmp_path / "segbench.git"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    runner.answer(**{"auth setup-git": None})
    text = script("asv", "keep", "Commit them to the branch asv-results")
    for number in (1, 2):
        # Each run of the job has a folder of its own.
        folder = runner.folder / str(number)
        (folder / "measured" / "hosted").mkdir(parents=True)
        (folder / "measured" / "benchmarks.json").write_text(str(number))
        (folder / "measured" / "hosted" / f"{number}.json").write_text("{}")
        done = runner.run(
            f"cd {number}\n{text}",
            GITHUB_SERVER_URL=tmp_path.as_uri(),
            GITHUB_REPOSITORY=remote.name,
        )
        assert done.returncode == 0, done.stderr
    files = git(remote, "ls-tree", "-r", "--name-only", "asv-results").splitlines()
    names = ["benchmarks.json", "hosted/1.json", "hosted/2.json"]
    assert files == [f"results/asv/{name}" for name in names]
    assert git(remote, "show", "asv-results:results/asv/benchmarks.json") == "2"
    assert git(remote, "rev-list", "--count", "asv-results") == "2"


def test_runs_that_are_sent_are_verified(runner: Runner) -> None:
    """Each run of a pull request is looked at, whatever its folder is called; a fault fails the check."""
    runner.add("segbench", f'exec {shlex.quote(sys.executable)} -m segbench "$@"')
    machines = runner.folder / "sent" / "results" / "machines"
    whole = sent.write(machines / "one" / "run")
    hostile = sent.write(machines / "::error::\n$(touch gone)" / "run")
    text = script("runs", "verify", "Verify the runs")
    done = runner.run(text)
    assert done.returncode == 0, done.stderr
    assert not (runner.folder / "gone").exists()
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("sent/results/machines/") for line in lines)
    (hostile / "run.jsonl").write_bytes((whole / "run.jsonl").read_bytes()[:-40])
    assert runner.run(text).returncode == 1
