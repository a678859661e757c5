# The images of Longhand, one target each; docker-compose.yml builds them.
#
#   web      the API, beat, Flower, and what brings the tables up to date: no numpy, no CTranslate2
#   worker   the queues cpu, net and gpu, the last on a CPU
#   gpu      the same with the CUDA libraries, for NVIDIA GPUs
#   diarise  the queue diarise, with PyTorch
#   proxy    Caddy in front of it all
#   s3       SeaweedFS, for those who have no object storage yet
#
# Python's packages are in /opt/longhand and the program is in /app, both root's. The program runs as a user of its own,
# who may write to /data and /models. Every Python image will do that is a Debian with Python 3.11 or 3.12.
ARG PYTHON_IMAGE=python:3.12-slim-trixie
ARG CADDY_IMAGE=caddy:2
ARG SEAWEEDFS_IMAGE=chrislusf/seaweedfs:4.47

# What installs stays behind, pip included.
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CONSTRAINT=/app/requirements/constraints.txt
# Of the descriptions of all of Amazon's services, 30 MB, those stay that lead to a bucket.
ENV OTHERS="! -name s3 ! -name sts ! -name sso ! -name sso-oidc"
WORKDIR /app
RUN python3 -m venv --without-pip /opt/longhand
COPY requirements requirements

FROM build AS packages-web
RUN --mount=type=cache,target=/root/.cache/pip pip --python /opt/longhand/bin/python install \
    -r requirements/web.txt -r requirements/flower.txt -r requirements/postgres.txt -r requirements/s3.txt \
    -r requirements/tracing.txt
RUN find /opt/longhand/lib/python3*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d $OTHERS -exec rm -r {} +

FROM build AS packages-worker
RUN --mount=type=cache,target=/root/.cache/pip pip --python /opt/longhand/bin/python install \
    -r requirements/worker.txt -r requirements/postgres.txt -r requirements/s3.txt -r requirements/tracing.txt
RUN find /opt/longhand/lib/python3*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d $OTHERS -exec rm -r {} +

FROM packages-worker AS packages-gpu
RUN --mount=type=cache,target=/root/.cache/pip pip --python /opt/longhand/bin/python install -r requirements/gpu.txt

FROM packages-worker AS packages-diarise
# Builds of PyTorch for CPUs take a tenth of the space. For a GPU: https://download.pytorch.org/whl/cu126, say.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN --mount=type=cache,target=/root/.cache/pip pip --python /opt/longhand/bin/python install \
    --extra-index-url "$TORCH_INDEX" -r requirements/diarise.txt

# The program, compiled, with what says its version.
FROM build AS program
COPY . .
RUN mv models / && cp -r /app /tmp/source \
    && pip install --no-cache-dir --no-deps --target /tmp/installed /tmp/source \
    && mv /tmp/installed/longhand-*.dist-info . \
    && rm -rf requirements README.md && python3 -m compileall -q .

FROM ${PYTHON_IMAGE} AS base
# More of Debian's packages, such as its ffmpeg in place of the one that comes with Python's packages.
ARG PACKAGES=""
RUN if [ -n "$PACKAGES" ]; then \
        apt-get update && apt-get install -y --no-install-recommends $PACKAGES && rm -rf /var/lib/apt/lists/*; \
    fi \
    && groupadd --gid 10001 longhand \
    && useradd --uid 10001 --gid longhand --no-create-home --home-dir /tmp --shell /usr/sbin/nologin longhand \
    && install -d -o longhand -g longhand -m 750 /data /models
# The first line is for libraries that would tell their makers what they are used for.
ENV ORT_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_TELEMETRY=1 PYANNOTE_METRICS_ENABLED=0 DO_NOT_TRACK=1 \
    PATH=/opt/longhand/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp HF_HOME=/models DATA_DIR=/data
WORKDIR /app
ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="Longhand" \
    org.opencontainers.image.description="Self-hosted transcription: recordings in, transcripts and subtitles out." \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"

FROM base AS web
COPY --from=packages-web /opt/longhand /opt/longhand
COPY --from=program /app /app
USER longhand
EXPOSE 8081
CMD ["python", "-m", "gunicorn", "-c", "config/gunicorn.py", "webapp.main:app"]

FROM base AS base-worker
COPY --from=program /models /app/models

FROM base-worker AS worker
COPY --from=packages-worker /opt/longhand /opt/longhand
COPY --from=program /app /app
USER longhand

FROM base-worker AS gpu
COPY --from=packages-gpu /opt/longhand /opt/longhand
COPY --from=program /app /app
# What NVIDIA's container runtime is to bring in: the driver's part, which fits the machine; the rest is here.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER longhand

FROM base-worker AS diarise
COPY --from=packages-diarise /opt/longhand /opt/longhand
COPY --from=program /app /app
USER longhand

FROM ${CADDY_IMAGE} AS proxy
# Copied, the program is without its right to low ports, which would keep it from starting where all rights are dropped.
RUN cp /usr/bin/caddy /usr/local/bin/caddy && mkdir -p /data /config && chown -R 10001:10001 /data && chmod 1777 /config
COPY deploy/caddy/Caddyfile /etc/caddy/Caddyfile
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
USER 10001:10001
CMD ["/usr/local/bin/caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]

FROM ${SEAWEEDFS_IMAGE} AS s3
# Its own start would need root, to hand the volume over.
RUN mkdir -p /data && chown 10001:10001 /data
USER 10001:10001
