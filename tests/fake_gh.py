"""A program ``gh`` that answers from a file and writes down what it was asked: see test_workflows."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

# Options that have a value; all others are flags.
VALUED = ("--method", "--jq", "--field")


def subject(words: list[str]) -> str:
    """What is asked: the path of an API, or the two words of another command."""
    if words[0] != "api":
        return " ".join(words[:2])
    rest = iter(words[1:])
    for word in rest:
        if word in VALUED:
            next(rest)
        elif not word.startswith("--"):
            return word
    raise SystemExit("no path")


def text_in(words: list[str]) -> str:
    """The file whose text is sent."""
    for before, word in itertools.pairwise(words):
        if before == "--body-file" or (before == "--field" and word.startswith("body=@")):
            return Path(word.removeprefix("body=@")).read_text(encoding="utf-8")
    return ""


def main() -> None:
    """Answer as the files of the folder in the variable FAKE_GH say."""
    folder, words = Path(os.environ["FAKE_GH"]), sys.argv[1:]
    with (folder / "calls.jsonl").open("a", encoding="utf-8") as calls:
        calls.write(json.dumps({"words": words, "text": text_in(words)}) + "\n")
    answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    if subject(words) not in answers:
        raise SystemExit(f"HTTP 404: {subject(words)}")
    answer = answers[subject(words)]
    if subject(words).endswith("/zip"):
        sys.stdout.buffer.write(Path(answer).read_bytes())
    elif words[:2] == ["run", "download"]:
        target = Path(words[words.index("--dir") + 1])
        target.mkdir()
        (target / "versions.txt").write_text(answer, encoding="utf-8")
    elif "--jq" in words:
        expression = words[words.index("--jq") + 1]
        command = ["jq", "--raw-output", expression]
        subprocess.run(command, input=json.dumps(answer), text=True, check=True)  # noqa: S603  (jq, as gh has it built in, on the workflow's own expression)


if __name__ == "__main__":
    main()
