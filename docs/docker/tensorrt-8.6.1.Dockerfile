# TensorFlow 2.17.1 from PyPI with the TensorRT that it was built against, and the acceptance of all of it.
#
#   docker build -f docs/docker/tensorrt-8.6.1.Dockerfile -t tftrt-yolo:tensorrt-8.6.1 .
#   docker run --rm --gpus all -v "$PWD/acceptance:/acceptance" tftrt-yolo:tensorrt-8.6.1
#
# Then acceptance/report holds report.json and report.html. We have run neither command: no machine of ours runs Docker,
# or has NVIDIA's packages or a GPU with TensorRT. What fails is welcome as an issue, with the output of
# `tftrt-yolo check`.

# The exports, made on the CPU: PyTorch's CUDA libraries and TensorFlow's do not fit into one environment.
FROM python:3.11-slim AS exports
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY setup.cfg setup.py README.md LICENSE constraints.txt ./
COPY tftrt_yolo tftrt_yolo
RUN python -m pip install --no-cache-dir --constraint constraints.txt '.[export,evaluate]'
# What fails on this CPU is in its report; here the exports alone matter.
RUN tftrt-yolo acceptance --output_dir=/exported --precision_modes=FP32 || test -d /exported/exports

# The image has NVIDIA's Debian repository, whose packages have the names that TensorFlow's wheels open. With pip
# instead: tensorrt-libs==8.6.1 from NVIDIA's own package index into /opt/venv, then `tftrt-yolo check --fix`.
FROM nvidia/cuda:12.3.2-base-ubuntu22.04
RUN apt-get update \
    && apt-get install --yes --no-install-recommends --allow-change-held-packages \
        libgl1 libglib2.0-0 python3 python3-venv \
        libnvinfer8=8.6.1.6-1+cuda12.0 libnvinfer-plugin8=8.6.1.6-1+cuda12.0 \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY setup.cfg setup.py README.md LICENSE constraints.txt ./
COPY tftrt_yolo tftrt_yolo
RUN python3 -m venv /opt/venv \
    && python -m pip install --no-cache-dir --constraint constraints.txt '.[gpu,evaluate,preflight]' \
    && tftrt-yolo check
COPY --from=exports /exported/exports /exports
WORKDIR /acceptance
CMD ["tftrt-yolo", "acceptance", "--output_dir=/acceptance/report", "--exports_dir=/exports"]
