"""The house rules that a program can check: who imports whom, what an import loads, what files may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import unsharpen

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "unsharpen"

# Layer (a module or package of unsharpen) -> the layers that it may import. Lower never imports upper, and
# nobody imports cli. A new layer needs a row; the name of a layer is the first part after `unsharpen.`.
ANY = {"*"}
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    # arrays in, advantages out
    "batch": {"errors"},
    "advantages": {"errors", "batch"},
    "losses": {"errors", "batch", "advantages"},
    "catalogue": {"errors", "batch", "advantages", "losses"},
    "methods": {"errors", "batch", "catalogue"},
    # problems and verdicts; samples and numbers
    "tasks": {"errors"},
    "metrics": {"errors"},
    "evaluation": {"errors", "tasks", "metrics"},
    # curves of training in, a diagnosis out
    "diagnosis": {"errors", "methods"},
    # what carries the methods into a trainer, and what proves them
    "engines": {"errors", "batch", "advantages", "losses", "methods", "metrics", "diagnosis", "tasks"},
    "theory": {"errors", "batch", "advantages", "methods"},
    # checkpoints
    "weights": {"errors"},
    # reads result files only
    "reports": {"errors", "metrics"},
    # runs: configuration, folder, and the work in between
    "training": {"errors", "methods", "tasks", "evaluation", "engines", "reports"},
    # methods x seeds x rates, and what they come to
    "comparison": {"errors", "methods", "metrics", "reports", "training"},
    # on top
    "cli": ANY,
    "__main__": {"cli"},
    "__init__": {"errors", "batch", "advantages", "methods"},
}
# These import nothing at module level but the standard library, NumPy and array-api-compat.
LIGHT_LAYERS = {"__init__", "errors", "batch", "advantages", "losses", "catalogue", "methods"}
LIGHT_LAYERS |= {"theory", "tasks", "metrics", "diagnosis"}
LIGHT_LIBRARIES = {"numpy", "array_api_compat", "unsharpen"}


# ---------------------------------------------------------------------------------------------- imports


def source_files(package: Path) -> Iterator[tuple[str, Path]]:
    """(layer, file) of every Python file."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        yield parts[0], path


def imported_modules(path: Path, package: Path, nodes: Iterator[ast.AST]) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of every import; `from a import b` gives `a.b`."""
    own = ("unsharpen", *path.relative_to(package).with_suffix("").parts)
    for node in nodes:
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = ".".join([*(own[:-level] if level else ()), *([module] if module else [])])
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def layer_violations(package: Path) -> list[str]:
    """One line for each import that LAYERS does not allow."""
    found = []
    for layer, path in source_files(package):
        where = path.relative_to(package)
        if layer not in LAYERS:
            found.append(f"{where}: unknown layer {layer!r}; give it a row in LAYERS")
            continue
        for line, name in imported_modules(path, package, ast.walk(ast.parse(path.read_text("utf-8")))):
            first, _, rest = name.partition(".")
            if first != "unsharpen" or rest == "__version__":
                continue
            target = rest.split(".")[0]
            # `from unsharpen import get_method` goes through the package, which is above most layers
            target = target if target in LAYERS or (package / target).exists() else "__init__"
            if target != layer and LAYERS[layer] is not ANY and target not in LAYERS[layer]:
                found.append(f"{where}:{line}: {layer} may not import {target} ({name})")
    return found


def module_level(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """The nodes that run on import: no function bodies, and nothing under `if TYPE_CHECKING`."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from module_level(node.orelse)
            continue
        yield node
        for block in ("body", "orelse", "finalbody"):
            yield from module_level(getattr(node, block, []))
        for handler in getattr(node, "handlers", []):
            yield from module_level(handler.body)


def make_package(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def test_lower_layers_never_import_upper_ones() -> None:
    assert layer_violations(PACKAGE) == []


def test_the_table_has_no_cycle() -> None:
    def below(layer: str, path: tuple[str, ...]) -> None:
        assert layer not in path, f"cycle: {' -> '.join([*path, layer])}"
        for lower in LAYERS[layer] - ANY:
            below(lower, (*path, layer))

    for layer in LAYERS:
        below(layer, ())
    assert not any("cli" in allowed for layer, allowed in LAYERS.items() if layer != "__main__")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"orbit/__init__.py": ""}, "unknown layer 'orbit'"),
        ({"orbit.py": ""}, "unknown layer 'orbit'"),
        ({"errors.py": "from unsharpen.batch import GroupBatch"}, "errors may not import batch"),
        ({"errors.py": "import unsharpen.cli"}, "errors may not import cli"),
        ({"tasks/countdown/task.py": "from ...metrics import pass_at_k"}, "tasks may not import metrics"),
        ({"batch.py": "from unsharpen import methods"}, "batch may not import methods"),
        ({"engines/trl.py": "from unsharpen import get_method"}, "engines may not import __init__"),
        (
            {"advantages/chain.py": "def f():\n    from ..engines import trl"},
            "advantages may not import engines",
        ),
        (
            {"reports/html.py": "import_module('unsharpen.evaluation.store')"},
            "reports may not import evaluation",
        ),
        ({"errors.py": "import unsharpen.orbit", "orbit/x.txt": ""}, "errors may not import orbit"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    (violation,) = layer_violations(make_package(tmp_path, files))
    assert expected in violation


def test_an_allowed_import_is_not_reported(tmp_path: Path) -> None:
    files = {
        "advantages/chain.py": "import numpy\nfrom . import baselines\nfrom ..errors import InputError",
        "reports/html.py": "from unsharpen import __version__",
        "cli/__init__.py": "import unsharpen\nfrom unsharpen import get_method\nfrom unsharpen.engines import trl",
    }
    assert layer_violations(make_package(tmp_path, files)) == []


def test_light_layers_import_no_third_party_library() -> None:
    allowed = LIGHT_LIBRARIES | sys.stdlib_module_names
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for layer, path in source_files(PACKAGE)
        if layer in LIGHT_LAYERS
        for line, name in imported_modules(path, PACKAGE, module_level(ast.parse(path.read_text("utf-8")).body))
        if name.split(".")[0] not in allowed
    ]
    assert found == [], "import it inside the function that needs it"


# Runs with everything blocked that a bare installation does not have.
BARE = """
import sys

class Block:
    allowed = {"numpy", "array_api_compat", "unsharpen"} | sys.stdlib_module_names

    def find_spec(self, name, path=None, target=None):
        own = name.startswith("_sysconfigdata")  # the standard library's, named after the platform
        if name.split(".")[0] not in self.allowed and not own:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

before = set(sys.modules)
sys.meta_path.insert(0, Block())
from unsharpen import GroupBatch, get_method, list_methods
import numpy as np

assert list_methods()
rewards = np.array([[1.0, 1.0, 0.0, 0.0]])
logprobs = np.array([[-4.0, -9.0, -6.0, -7.0]])
lengths = np.full((1, 4), 8)
batch = GroupBatch(rewards=rewards, correct=rewards > 0, logprobs=logprobs, lengths=lengths)
assert get_method("ds-grpo").advantages(batch).shape == (1, 4)
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""


def test_the_core_runs_on_numpy_and_array_api_compat_alone() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", BARE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) >= LIGHT_LIBRARIES


def test_import_loads_no_heavy_library_that_is_installed() -> None:
    code = "import sys, unsharpen; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    heavy = {"torch", "transformers", "trl", "datasets", "accelerate", "peft", "tokenizers", "safetensors"}
    heavy |= {"matplotlib", "pandas", "pyarrow", "typer", "rich", "yaml", "jax", "vllm"}
    assert set(done.stdout.split()) & heavy == set()


# ------------------------------------------------------------------------------------- no code from data


def executing_calls(tree: ast.AST) -> list[str]:
    """Calls of the built-in eval, exec and compile; `model.eval()` and `re.compile()` are something else."""
    forbidden = {"eval", "exec", "compile"}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in forbidden:
                found.append(f"{node.lineno}: {name}")
            case ast.Attribute(value=ast.Name(id="builtins" | "__builtins__"), attr=name) if name in forbidden:
                found.append(f"{node.lineno}: builtins.{name}")
    return found


def test_nothing_is_executed_as_code() -> None:
    found = {
        str(path.relative_to(PACKAGE)): calls
        for _, path in source_files(PACKAGE)
        if (calls := executing_calls(ast.parse(path.read_text("utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize(("code", "count"), [("eval('1')", 1), ("builtins.exec(x)", 1), ("model.eval()", 0)])
def test_executing_calls_are_told_from_methods(code: str, count: int) -> None:
    assert len(executing_calls(ast.parse(code))) == count


# ------------------------------------------------------------------------- what no tracked file may hold

# Put together from pieces, so that this file does not match itself.
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "crates" + ".io", "ana" + "conda.org"]
HOSTS += ["download.py" + "torch.org", "artifactory" + "."]
FORBIDDEN = {
    "the host of a package registry": "|".join(map(re.escape, HOSTS)),
    "the address of a package index": r"(?:index[-_]url|find[-_]links|trusted[-_]host)[\"'\s=:]+[^\s\"']*(?:/|\w\.\w)",
    "a path of one machine": r"(?<![\w.~$}/-])/(?:home|Users|root|work|mnt|scratch)/[\w.]|[A-Z]:\\Users\\",
    "what looks like a credential": "|".join(
        [
            r"\bAKIA[0-9A-Z]{16}\b",
            r"\bgh[pousr]_[A-Za-z0-9]{30,}",
            r"\bhf_[A-Za-z0-9]{30,}",
            r"\bsk-[A-Za-z0-9]{20,}",
            r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
            r"-----BEGIN [A-Z ]*PRIVATE KEY",
            r"://[^/\s:@]+:[^/\s:@]+@",
        ]
    ),
}


def offences(text: str) -> list[str]:
    return [
        f"line {text.count(chr(10), 0, match.start()) + 1}: {what}"
        for what, pattern in FORBIDDEN.items()
        for match in re.finditer(pattern, text)
    ]


def repository_texts() -> Iterator[tuple[str, str]]:
    """(name, text) of all text files that git tracks, or would with the next `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (data := path.read_bytes()):
            yield name, data.decode("utf-8", errors="replace")


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the git checkout")
def test_files_name_no_registry_no_machine_and_no_secret() -> None:
    found = {name: lines for name, text in repository_texts() if (lines := offences(text))}
    assert found == {}


@pytest.mark.parametrize(
    ("text", "is_offence"),
    [
        (f"see https://{HOSTS[0]}/project/x", True),
        ("pip install --extra-index-" + "url https://example.org/simple x", True),
        ("log of /ho" + "me/someone/run", True),
        ("'/ro" + "ot/.cache'", True),
        ("token: hf_" + "a1" * 17, True),
        ("https://user:" + "secret@example.org", True),
        ("examples/work/run and ~/work/run and https://example.org/work/run", False),
        ("risk-sensitive, task-specific, and torch==2.13.0", False),
        ("an option such as --index-" + "url is yours to choose. Next.", False),
    ],
)
def test_offences_are_found(text: str, is_offence: bool) -> None:
    assert bool(offences(text)) is is_offence


# ---------------------------------------------------------------------------------- versions and pins


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## \[(\d[^\]]*)\]", changelog, flags=re.MULTILINE)
    assert citation["version"] == unsharpen.__version__
    assert released[0] == unsharpen.__version__, "the newest version of CHANGELOG.md"


def test_every_dependency_is_pinned_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in map(Requirement, chain.from_iterable(groups)):
        name = requirement.name.lower().replace("_", "-")
        if name != "unsharpen":
            assert name in pins, f"{name} has no pin in constraints.txt"
            assert requirement.specifier.contains(pins[name]), f"{requirement}, pinned at {pins[name]}"


def test_the_core_depends_on_numpy_and_array_api_compat_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {Requirement(line).name for line in project["dependencies"]} == {"numpy", "array-api-compat"}
