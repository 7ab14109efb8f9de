# What all our images begin with: Python, and a layer with PyTorch, stored once. A build puts the Dockerfile of one kind of
# image (transformers/, vllm/) behind it.
#
# Context: requirements.txt (a lock with hashes), gate/, wheels/, and what the kind needs. Where wheels/ holds any wheel,
# only wheels/ is used; else the package index is. Build secret "ca" (optional): a bundle of certificate authorities for pip.
# No "# syntax=" line: BuildKit of Docker Engine 20.10 must build this without reaching a registry.
ARG BASE=python:3.11-slim

# pip stays out of the final image: it is mounted from here.
FROM ${BASE} AS pip
# Only asked where the lock names a CPU build of PyTorch, which the usual index does not have.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python3 -m venv /pip
# install FOLDER [WHEELS]: installs FOLDER/requirements.txt, and compiles what came, since the root of a running container
# is read-only. The compiled files are unchecked, so that a start does not look at every source; packages hold a few
# sources for newer Pythons, which can't be compiled and are not imported.
RUN printf '%s\n' \
        '#!/bin/sh' \
        'set -eu' \
        'if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi' \
        'touch /tmp/before' \
        'if ls "$2"/*.whl >/dev/null 2>&1; then' \
        '    set -- "$1" --no-index --find-links "$2"' \
        'elif grep -q "^torch==.*+cpu" "$1/requirements.txt"; then' \
        "    set -- \"\$1\" --extra-index-url '${TORCH_INDEX}'" \
        'else' \
        '    set -- "$1"' \
        'fi' \
        'requirements=$1/requirements.txt; shift' \
        '/pip/bin/pip --python /opt/venv/bin/python3 install --no-cache-dir --no-compile --no-deps --require-hashes \' \
        '    --only-binary=:all: --disable-pip-version-check --progress-bar off --requirement "$requirements" "$@"' \
        'find /opt/venv -name "*.py" -cnewer /tmp/before -print0 |' \
        '    xargs -0 -n 400 -P "$(nproc)" /opt/venv/bin/python3 -m compileall -qq --invalidation-mode unchecked-hash || true' \
        'rm /tmp/before' \
        > /pip/install && chmod +x /pip/install

# The lock in two parts. BuildKit compares what is mounted by content, so images with the same PyTorch share its layer,
# although their locks and wheels differ.
FROM ${BASE} AS parts
ARG TORCH="torch|triton|nvidia-[^=]*|cuda-[^=]*|filelock|fsspec|jinja2|markupsafe|mpmath|networkx|setuptools|sympy|typing-extensions"
# An entry of the lock goes from its name to the first line that is not continued.
RUN --mount=type=bind,source=requirements.txt,target=/lock.txt \
    --mount=type=bind,source=wheels,target=/wheels \
    set -eu; mkdir -p /torch /rest; \
    sed -nE "/^(${TORCH})==/,/[^\\\\]\$/p" /lock.txt > /torch/requirements.txt; \
    sed -E "/^(${TORCH})==/,/[^\\\\]\$/d" /lock.txt > /rest/requirements.txt; \
    for wheel in /wheels/*.whl; do \
        [ -e "$wheel" ] || continue; \
        name=$(basename "$wheel" | cut -d- -f1 | tr 'A-Z_' 'a-z-'); \
        if grep -q "^$name==" /torch/requirements.txt; then cp "$wheel" /torch/; fi; \
    done

FROM ${BASE} AS pytorch
# The standard library comes without compiled files; every start and every health check would compile it again. The base's
# own pip, where it has one, is hidden too.
RUN python3 -m venv --without-pip /opt/venv && \
    rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* && \
    python3 -m compileall -qq -j 0 -x 'site-packages|idlelib|lib2to3' --invalidation-mode unchecked-hash \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
# What is mounted needs no place in the image, so no wheel, cache or compiler is left in any layer.
RUN --mount=type=bind,from=pip,source=/pip,target=/pip \
    --mount=type=bind,from=parts,source=/torch,target=/torch \
    --mount=type=secret,id=ca \
    /pip/install /torch /torch && \
    # Headers for compilers, which are not here, and tests of C++ code: 190 MB.
    cd /opt/venv/lib/python3*/site-packages/torch && rm -rf include test bin/test_*
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    DO_NOT_TRACK=1
