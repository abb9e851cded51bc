# NVIDIA's container with TensorFlow 2.17, which is said to be the last and to hold TensorRT 10.8; the acceptance of it.
#
#   docker build -f docs/docker/tensorflow-25.02.Dockerfile -t tftrt-yolo:tensorflow-25.02 .
#   docker run --rm --gpus all -v "$PWD/acceptance:/acceptance" tftrt-yolo:tensorflow-25.02
#
# Then acceptance/report holds report.json and report.html. We have run neither command: no machine of ours runs Docker,
# or has NVIDIA's container or a GPU with TensorRT. What fails is welcome as an issue, with the output of
# `tftrt-yolo check`.

# The exports, made on the CPU with versions that were tested together: NVIDIA's TensorFlow stays without PyTorch.
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

FROM nvcr.io/nvidia/tensorflow:25.02-tf2-py3
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY setup.cfg setup.py README.md LICENSE ./
COPY tftrt_yolo tftrt_yolo
# NVIDIA's TensorFlow, and what it was built against, stay as they are: where that cannot be, pip says so and stops.
# The preflight is left out: its stand-in is for TensorRT 8.6.1.
RUN python -m pip list --format=freeze \
    | grep --extended-regexp --ignore-case '^(tensorflow|keras|numpy|protobuf|h5py|ml[-_]dtypes)==' > /tmp/kept.txt \
    && python -m pip install --no-cache-dir --constraint /tmp/kept.txt '.[evaluate]' \
    && tftrt-yolo check
COPY --from=exports /exported/exports /exports
WORKDIR /acceptance
# No ENTRYPOINT: NVIDIA's own one prepares its libraries.
CMD ["tftrt-yolo", "acceptance", "--output_dir=/acceptance/report", "--exports_dir=/exports"]
