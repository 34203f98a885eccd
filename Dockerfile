# syntax=docker/dockerfile:1
# Tags are pinned to a release; where your policy asks for a digest, write it behind the tag:
#   docker buildx imagetools inspect python:3.11.14-slim-bookworm
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /build
# `--build-arg WITH=-apprise` adds what reaches people by Apprise.
ARG WITH=
COPY requirements.txt requirements-apprise.txt ./
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt \
 && { [ -z "$WITH" ] || /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r "requirements$WITH.txt"; }

FROM python:3.11.14-slim-bookworm
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data
# A number, so that Kubernetes can tell that it is not root; /data takes its owner from here when a volume is made.
RUN groupadd --gid 10001 pipemon \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pipemon \
 && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /venv /venv
WORKDIR /app
COPY config.py config_values.py config_channels.py config_contradictions.py wsgi.py gunicorn.conf.py .flaskenv ./
COPY pipemon pipemon
RUN python -m compileall -q pipemon config.py config_values.py config_channels.py config_contradictions.py wsgi.py
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Degraded is alive: it answers 200; only a database that can't be used is 503.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]
CMD ["gunicorn", "--config", "gunicorn.conf.py", "wsgi:app"]
