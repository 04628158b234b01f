# RankRAG's server with its default models inside: it needs no network when it runs.
#   docker build -t rankrag .            (podman and buildah find the file under this name, too)
#   docker build -t rankrag --build-arg TORCH=gpu .    PyTorch for NVIDIA GPUs: several gigabytes more
FROM python:3.12-slim

ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    RANKRAG_CACHE=/models \
    RANKRAG_DATA=/data \
    RANKRAG_INDEX=/data/index

# 1000 is the first user of most machines, who can then read and write a folder that is mounted at /data.
RUN useradd --uid 1000 --create-home rankrag \
    && mkdir /data /models \
    && chown rankrag:rankrag /data /models

# PyTorch is most of the image and changes least: it has a layer of its own.
WORKDIR /app
COPY pyproject.toml ./
COPY tools/install_torch.py tools/pip_install.py tools/container.py tools/
RUN if [ "$TORCH" = cpu ]; then python tools/install_torch.py; fi

# The builder has no git to ask: a release gives its version.
ARG VERSION=
COPY README.md LICENSE ./
COPY src src
RUN SETUPTOOLS_SCM_PRETEND_VERSION_FOR_RANKRAG="$VERSION" pip install ".[local,docs,serve]"

USER rankrag
RUN rankrag model pull

# The index, what was uploaded, and the key that the first start makes. A new volume takes over its owner.
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "/app/tools/container.py", "healthy"]
ENTRYPOINT ["python", "/app/tools/container.py"]
