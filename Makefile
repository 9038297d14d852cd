# The two commands: make demo, make test. Both install into .venv what is missing there, once.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
DEMO_DATA := datasets/synthetic
DEMO_RUN := runs/demo
# What the weights that come with the project look at. They know real clips and are nearly always wrong on the drawn one:
# make demo CLIP=path/to/clip.mp4
CLIP ?= $(DEMO_RUN)/clip.mp4

.PHONY: install demo test lint gpu-bundle clean

install: $(INSTALLED)

# torch and torchvision come first, together: yolox's build imports torch, and yolox needs torchvision's NMS to match it.
# yolox 0.3.0 goes without its requirements: they pin onnx versions that today's Python no longer has.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --upgrade pip setuptools wheel ninja
	$(RUN) -m pip install torch torchvision
	$(RUN) -m pip install --no-deps --no-build-isolation yolox==0.3.0
	$(RUN) -m pip install --no-build-isolation --editable ".[dev]"
	touch $@

demo: $(DEMO_DATA)/dataset.json
	$(RUN) tools/train.py -f exps/demo.py -expn demo -b 32 --cache
	$(RUN) tools/prepare_dataset.py clip --out $(DEMO_RUN)/clip.mp4 --frames 100
	$(RUN) tools/demo.py video -c $(DEMO_RUN)/best_ckpt.pth --path $(DEMO_RUN)/clip.mp4 --save-attention --output $(DEMO_RUN)/video
	$(RUN) tools/eval.py -f exps/demo.py -c $(DEMO_RUN)/best_ckpt.pth --split test --iterations 500
	$(RUN) tools/demo.py video --path $(CLIP) --output $(DEMO_RUN)/shipped
	@echo "annotated video: $(DEMO_RUN)/video/clip.mp4, attention: $(DEMO_RUN)/video/clip_attention.mp4"
	@echo "the weights that come with the project on $(CLIP): $(DEMO_RUN)/shipped"

$(DEMO_DATA)/dataset.json: $(INSTALLED)
	$(RUN) tools/prepare_dataset.py synthetic --out $(DEMO_DATA)

test: $(INSTALLED) lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not alone"
	$(RUN) -m pytest -q -m alone

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

# What a GPU's machine without network lacks, in gpu_bundle/ (docs/gpu.md):
# make gpu-bundle DATA=datasets/infrared WEIGHTS=path/to/yolox_nano.pth
gpu-bundle: $(INSTALLED)
	$(RUN) tools/gpu.py --make $(or $(DATA),datasets/infrared) --weights $(or $(WEIGHTS),weights/yolox_nano.pth)

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache *.egg-info
