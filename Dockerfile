# One image for all of it: MLflow's server, Prefect's server, workers and the command line.
#   docker build -t vae-anomaly .
FROM python:3.11-slim-bookworm

# An index with CPU-only builds of torch, given as --build-arg, makes the image gigabytes smaller.
ARG PIP_EXTRA_INDEX_URL
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    DO_NOT_TRACK=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_HOME=/var/lib/vae-anomaly/prefect \
    XDG_CACHE_HOME=/var/lib/vae-anomaly/cache

RUN useradd --create-home --uid 1000 vae \
    && install -d -o vae -g vae /var/lib/vae-anomaly

WORKDIR /opt/vae-anomaly
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY vae_core vae_core
COPY pipeline pipeline
COPY flows flows
RUN pip install -c constraints.txt '.[servers,postgres,s3]'

USER 1000:1000
WORKDIR /home/vae
CMD ["vae-anomaly", "--help"]
