# The kit with everything that measuring and searching on a CPU needs:
#
#     docker build -t fbnet-kit .
#     docker run --rm -it -v "$PWD/tables:/kit/tables" fbnet-kit fbnet-kit profile --device host
#
# A container measures the machine that it runs on. For a phone, start the adb server outside and
# add --network host, or name the phone: --connect HOST:PORT.

FROM python:3.11-slim-bookworm AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends adb g++ git make \
    && rm -rf /var/lib/apt/lists/*

FROM base AS kit
# PyTorch's index of CPU wheels; the plain ones bring several GB of CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /kit
COPY . .
RUN make install PYTHON=python3.11 TORCH_INDEX=$TORCH_INDEX
ENV PATH=/kit/.venv/bin:$PATH
CMD ["fbnet-kit"]
