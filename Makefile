# `make bench` and `make test` need Python 3.11 or newer, git and make; nothing else.
PYTHON ?= python3
VENV ?= .venv
BENCH_ARGS ?= --quick
TEST_ARGS ?=

BIN = $(VENV)/bin

.PHONY: bench test slow long lowest prereleases lint docs release figures clean

bench: $(VENV)/installed
	$(BIN)/segbench run $(BENCH_ARGS)

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto -m "not slow" $(TEST_ARGS)

# What is slow by nature: browsers, clusters, real gates, large simulations, and the evidence.
slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m "slow and not long" $(TEST_ARGS)

# The commands of the site, as they are typed: minutes, which a check of every change is not to take.
long: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto -m long $(TEST_ARGS)

# The lowest versions that pyproject.toml allows: they are told to be enough, and have to be. What they
# warn of has been mended since, in them or in what they use.
lowest: $(VENV)/installed-dev
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)-lowest
	$(BIN)/uv pip install --quiet --python $(VENV)-lowest/bin/python --resolution lowest-direct \
		--editable ".[distributed,joblib,opencv,report,test]"
	$(VENV)-lowest/bin/python -m pytest --numprocesses auto -m "not slow" \
		-W ignore::DeprecationWarning -W ignore::FutureWarning $(TEST_ARGS)

# What is about to be released of the measured libraries. Of everything else, releases are enough.
MEASURED = dask distributed dask-image scikit-image pims numpy scipy
prereleases: $(VENV)/installed-dev
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)-prereleases
	$(BIN)/uv pip install --quiet --python $(VENV)-prereleases/bin/python --editable ".[dev]"
	$(BIN)/uv pip install --python $(VENV)-prereleases/bin/python --prerelease allow \
		$(MEASURED:%=--upgrade-package %) --editable ".[dev]"
	$(VENV)-prereleases/bin/python -m pytest --numprocesses auto -m "not slow" $(TEST_ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sp-repo-review .
	$(BIN)/actionlint -shellcheck $(BIN)/shellcheck
	$(BIN)/zizmor --quiet --offline .github

# The site, in docs/_build/html: with warnings as errors, then its links and anchors within it.
docs: $(VENV)/installed-dev
	rm -rf docs/_build docs/_made docs/gallery docs/reference/api
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --doctree-dir docs/_build/doctrees docs docs/_build/html
	$(BIN)/python -m pytest --quiet --numprocesses auto --override-ini addopts= --override-ini filterwarnings= \
		--check-links --check-anchors --check-links-ignore '^(https?|tcp):' --links-ext html docs/_build/html

# What is put on PyPI, and whether it works where nothing else is.
release: $(VENV)/installed-dev
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m venv --clear $(VENV)-release
	$(VENV)-release/bin/python -m pip install --quiet dist/*.whl
	cd dist && ../$(VENV)-release/bin/segbench run --quick --sizes 1,2 --phases pipeline --rounds 1 --out trial
	rm -rf dist/trial

# The README's figures: from results/reference/, and a generated smear with outlines.
figures: $(VENV)/installed
	$(BIN)/segbench report results/reference/smear --out reports/reference
	cp reports/reference/figures/pipeline.svg docs/pipeline.svg
	$(BIN)/segbench report results/reference/shapes --out reports/shapes
	cp reports/shapes/figures/1-best-map-pipeline.svg docs/map.svg
	$(BIN)/python -c 'from skimage import io; from segbench.images.smear import smear_image; io.imsave("reports/smear.png", smear_image(5, shape=(256, 384)).pixels)'
	$(BIN)/segbench segment reports/smear.png --diameter 36 --out reports/cells.csv --overlays reports/overlays
	cp reports/overlays/smear.png.png docs/cells.png

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-prereleases $(VENV)-release .asv dist docs/_build docs/_made docs/gallery

# The folder is a virtual environment once; it is installed into anew when the requirements change.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("segbench needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[report]"
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/installed
