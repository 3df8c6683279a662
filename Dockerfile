# The application only; PostgreSQL and Redis run beside it (docker-compose.yml).
FROM python:3.11-slim

WORKDIR /srv/settlement
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY settlement settlement
COPY schemas schemas
COPY workers workers
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --system --home-dir /var/lib/settlement --create-home settlement

USER settlement
WORKDIR /var/lib/settlement
CMD ["settlement", "--help"]
