# gliomaseg with its weights, for a CPU or an NVIDIA GPU. docs/how-to/container.md says how to use it.
#
#     docker build -t gliomaseg .

FROM debian:bookworm-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

COPY . /src
RUN python3 -m venv /opt/gliomaseg \
    && /opt/gliomaseg/bin/pip install --no-cache-dir --disable-pip-version-check \
        --constraint /src/constraints.txt "/src[dicom,openvino,serve]" \
    && rm -rf /src/*

# Whoever runs it may have no name and no home, and the image may be read-only: what is only for a while goes to /tmp.
ENV PATH=/opt/gliomaseg/bin:$PATH \
    HOME=/tmp \
    USER=nobody \
    MPLCONFIGDIR=/tmp/matplotlib \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONUNBUFFERED=1

USER 65534:65534
WORKDIR /data
EXPOSE 8000
ENTRYPOINT ["gliomaseg"]
CMD ["--help"]
