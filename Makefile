# Everything runs in a virtual environment of the checkout's own, from pinned and hashed packages.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
JOBS   ?= $(shell nproc)
SOURCES = pyproject.toml setup.py $(wildcard requirements/*.txt) \
          $(shell find pybootcfg formats grammars cli -name '*.py' -o -name '*.lark')

.PHONY: demo test lint mutants judges bench faults manual soak fuzz snapshots lock clean

demo: $(VENV)/.run
	$(BIN)/python examples/demo.py

# Measures how much of formats/ and pybootcfg/ the tests run, too: all lines and at least so many per cent of the
# branches.  That is judged where the judges are, and the images that PYBOOTCFG_CORPUS and PYBOOTCFG_BOOTCFG name,
# without which tests are skipped.  What is marked `no_cover` is not measured: it goes over the same lines again and
# again.
test: export COVERAGE_FILE = $(CURDIR)/.coverage/data
test: lint
	rm -rf .coverage
	mkdir .coverage
	$(BIN)/pytest -n $(JOBS) --dist worksteal --cov --cov-config=pyproject.toml --cov-report=json:.coverage/report.json
	$(BIN)/python tests/coverage_gate.py .coverage/report.json 100 98

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd tests && ../$(BIN)/mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache --strict -p pybootcfg

# The reference tools that tests compare with where they are installed (Debian 12; as root).
judges:
	apt-get install --yes --no-install-recommends binutils dosfstools e2fsprogs exfatprogs fdisk fish gdisk \
	  genisoimage groff grub-common grub-emu makefs mandoc mtools openssl reiserfsprogs sleuthkit tmux whois \
	  xen-utils-4.17 xorriso zsh
	-apt-get install --yes --no-install-recommends --no-remove zfsutils-linux  # contrib; 2.2 or later

# Measures what is installed beside what else there is; writes the tables of docs/performance.md.
bench: $(VENV)/.run
	$(BIN)/python -m bench --write docs/performance.md

# Boots every image with every single byte of its metadata made wrong; FAULTS="--sample 500" for a part of them.
faults: $(VENV)/.run
	$(BIN)/python -m faults $(FAULTS)

# Writes the man pages and the completions of the shells anew; a test holds them current.
manual: $(VENV)/.run
	$(BIN)/python -P -m pybootcfg.cli.manual .

# Changes what everything relies on, one place at a time, and counts what no test notices (hours; see --help).
mutants: $(VENV)/.dev
	$(BIN)/python -P tests/mutants.py

# Ends pygrub a thousand times at random moments: no file, mount or process may stay.
soak: $(VENV)/.dev
	PYBOOTCFG_KILLS=1000 $(BIN)/pytest -s tests/test_libxl_kills.py -k random

# Fuzzes all targets, or TARGETS of them, for SECONDS each; inputs and findings are kept in .fuzz/.
SECONDS ?= 60
fuzz: $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	$(BIN)/python fuzz --seconds $(SECONDS) $(TARGETS)

# Rewrites the snapshots after a wanted change; look at the difference before committing it.
snapshots: $(VENV)/.dev
	$(BIN)/pytest --snapshot-update

# Installs what is needed to run; `.dev` adds what is needed to test.
$(VENV)/.run: $(SOURCES)
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	rm -rf build  # setuptools would install modules that are no more
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

# Resolves the requirements anew; needs pip-tools.
lock:
	cd requirements && for set in run dev fuzz; do \
	  pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links --output-file $$set.txt $$set.in; done

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .fuzz
