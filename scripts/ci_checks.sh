#!/usr/bin/env bash
# Checks of the package as a whole: ci_checks.sh wheel | smoke. `make wheel` and `make smoke` call them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD
bin=$root/.venv/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check_wheel() {
  "$bin/python" -m pip wheel -qq --disable-pip-version-check --no-deps --no-build-isolation -w "$work" .

  "$bin/python" - "$work"/unsharpen-*.whl <<'PY'
import fnmatch, os, sys, zipfile

path = sys.argv[1]
wheel = zipfile.ZipFile(path)
names = wheel.namelist()
required = [
    "unsharpen/__init__.py", "unsharpen/__main__.py", "unsharpen/py.typed", "unsharpen/cli/__init__.py",
    "*.dist-info/licenses/LICENSE", "*.dist-info/entry_points.txt",
    *(f"unsharpen/assets/countdown-tiny/{name}"
      for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "README.md")),
    *(f"unsharpen/reports/explorer/{name}"
      for name in ("page.html", "style.css", "compute.js", "charts.js", "words.js", "page.js")),
    *(f"unsharpen/reports/evaluation/{name}"
      for name in ("page.html", "style.css", "dom.js", "curves.js", "problems.js", "samples.js", "main.js")),
]
missing = [pattern for pattern in required if not fnmatch.filter(names, pattern)]
foreign = [n for n in names if not n.startswith("unsharpen/") and ".dist-info/" not in n]
junk = [n for n in names if n.endswith((".pyc", ".log", ".orig")) or "__pycache__" in n]
model = sum(i.file_size for i in wheel.infolist() if i.filename.endswith(".safetensors"))
for what, found in {"lacks": missing, "has, outside the package,": foreign, "has left-overs": junk}.items():
    if found:
        print(f"the wheel {what} {found}")
if model > 5_000_000:
    print(f"the shipped weights must stay within 5 MB; found {model / 1e6:.1f} MB")
print(f"{os.path.basename(path)}: {len(names)} files, {os.path.getsize(path) / 1e6:.1f} MB, weights {model / 1e6:.1f} MB")
sys.exit(bool(missing or foreign or junk or model > 5_000_000))
PY

  # The wheel alone, on the oldest dependencies that pyproject.toml allows and nothing else.
  local lowest
  lowest=$("$bin/python" - <<'PY'
import re, tomllib

for requirement in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]:
    name, version = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()
    print(f"{name}=={version}")
PY
  )
  "$bin/python" -m venv "$work/bare"
  # shellcheck disable=SC2086 # one word per requirement
  "$work/bare/bin/python" -m pip install -qq --disable-pip-version-check --no-input $lowest "$work"/unsharpen-*.whl
  (cd "$work" && "$work/bare/bin/python" -W error - <<'PY'
import array_api_compat, numpy, unsharpen
from unsharpen import GroupBatch, get_method, list_methods
from unsharpen.errors import MissingFieldError

rewards = numpy.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]], dtype=numpy.float32)
logprobs = numpy.array([[-4.0, -9.0, -6.0, -7.0], [-5.0, -5.5, -8.0, -4.5]])
batch = GroupBatch(rewards=rewards, correct=rewards > 0, logprobs=logprobs, lengths=numpy.full((2, 4), 8))
for name in list_methods():
    try:
        advantages = get_method(name).advantages(batch)
    except MissingFieldError as error:
        print(f"{name}: not run here: {error.message}")
        continue
    assert advantages.shape == (2, 4) and numpy.isfinite(advantages).all(), name
advantages = get_method("ds-grpo").advantages(batch)
assert advantages[0, 1] > advantages[0, 0], "of two correct completions, the rarer one must gain more"
print(f"unsharpen {unsharpen.__version__}, {len(list_methods())} methods, "
      f"on numpy {numpy.__version__} and array-api-compat {array_api_compat.__version__} alone")
PY
  )
}

check_smoke() {
  export HF_HUB_OFFLINE=1 MPLBACKEND=Agg
  cd "$work" # nothing may depend on the checkout as working directory
  "$bin/unsharpen" --help >/dev/null
  "$bin/python" -m unsharpen --help >/dev/null
  "$bin/unsharpen" methods

  "$bin/unsharpen" data countdown --output "$work/train.jsonl" --num 64 --size 3 --numbers 1 10 --targets 1 60
  "$bin/unsharpen" train --data "$work/train.jsonl" --method ds-grpo --steps 2 --num-eval 8 --eval-samples 8 \
    --output "$work/run"
  "$bin/unsharpen" demo --steps 2 --num-eval 8 --output "$work/demo"
  (cd "$work" && "$bin/python" "$root/examples/trl_script.py" 2 >/dev/null)
  local file
  for file in run/report.html run/pass-at-k.png run/model/model.safetensors demo/report.html demo/dynamics.png; do
    test -s "$work/$file" || { echo "the command left no $file"; exit 1; }
  done
}

case ${1:-} in
  wheel) check_wheel ;;
  smoke) check_smoke ;;
  *)
    echo "usage: $0 wheel | smoke" >&2
    exit 2
    ;;
esac
