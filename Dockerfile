# The gateway, its sandbox included: the command says which of them runs.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements/run.lock requirements/
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY schema schema
RUN /venv/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
RUN useradd --system --no-create-home gateway
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER gateway
EXPOSE 8000
ENTRYPOINT ["gateway"]
CMD ["serve", "--config", "/etc/gateway.toml"]
