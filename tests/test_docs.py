"""README.md and docs/: what they name is there, their commands parse, and README's Python runs."""

import ast
import re
import shlex

import pytest

import choose_k
import run_exp
from dec_keras import metrics
from dec_keras.runs.command_line import parse_run
from tests.helpers import ROOT

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *(ROOT / f"{place}/README.md" for place in ("tests", "benchmarks", "results", "ae_weights")),
    ]
)
PARSERS = {
    "DEC.py": lambda arguments: parse_run("DEC", arguments),
    "IDEC.py": lambda arguments: parse_run("IDEC", arguments),
    "choose_k.py": choose_k.parse,
    "run_exp.py": run_exp.parse,
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
OWN_PATH = re.compile(r"(?:dec_keras|tests|tools|docs|notebooks|benchmarks)/[\w/.]+\.\w+|[\w]+\.py")


def prose(text):
    return BLOCK.sub("", text)


def commands(text):
    """The lines of a page that start Python, without their comments."""
    lines = [line for kind, block in BLOCK.findall(text) if kind == "sh" for line in block.splitlines()]
    lines += [" ".join(span.split()) for span in SPAN.findall(prose(text))]
    return [words for line in lines if (words := shlex.split(line, comments=True) or [""])[0] == "python"]


def anchors(path):
    heads = re.findall(r"^#+ (.*)", prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    for target in (link or source for link, source in LINK.findall(prose(text))):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            found = page.parent / path if path else page
            assert found.exists(), target
            assert not anchor or anchor in anchors(found), target
    if page.name != "CHANGELOG.md":  # it names what was
        for path in OWN_PATH.findall(re.sub(r"\[[^\]]*\]\(", "(", text)):
            assert any((folder / path).exists() for folder in (ROOT, page.parent)), path
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/test_*.py"))
    assert not [name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in tests]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert not [name for name in re.findall(r"`make ([\w-]+)", text) if f"\n{name}:" not in makefile]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_parse(page):
    for _, script, *arguments in commands(page.read_text(encoding="utf-8")):
        if script == "-m" and arguments[0].split(".")[0] in ("tools", "benchmarks", "tests"):
            assert (ROOT / f"{arguments[0].replace('.', '/')}.py").exists(), arguments
        if script in PARSERS and "-h" not in arguments:
            PARSERS[script](arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_parses(page):
    for kind, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            ast.parse(block)


def test_readme_is_one_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = [block for kind, block in BLOCK.findall((ROOT / "README.md").read_text("utf-8")) if kind == "python"]
    names = {}
    exec(block, names)
    assert names["z"].shape == (1797, 10)
    assert metrics.acc(names["y"], names["labels"]) > 0.7
