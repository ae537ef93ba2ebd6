# One image for web, worker and beat; compose.yaml says which one a container is.
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements.txt /tmp/requirements.txt
RUN /venv/bin/pip install --no-deps --require-hashes -r /tmp/requirements.txt
WORKDIR /app
COPY . .
ENV PATH=/venv/bin:$PATH
# both open no data and need no key; PRODUCTION=1 compresses the static files
RUN python manage.py compile_catalogues && PRODUCTION=1 python manage.py collectstatic --noinput --verbosity 0

FROM python:3.11-slim-bookworm
# Chinese glyphs for posters and charts drawn on the server
RUN apt-get update \
    && apt-get install -y --no-install-recommends fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /home/scrm scrm \
    && install -d -o scrm -g scrm /data /tmp/metrics
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PRODUCTION=1 \
    SCRM_VAR=/data \
    WEB_HOST=0.0.0.0 \
    PROMETHEUS_MULTIPROC_DIR=/tmp/metrics
USER scrm
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
CMD ["gunicorn", "-c", "python:scrm.gunicorn", "scrm.wsgi"]
