# Two stages: the wheel is built in one, and only what runs is in the other.
# --build-arg EXTRAS=ray for pods of KubeRay; several are separated by commas.
FROM python:3.12-slim AS build
ARG EXTRAS=""
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/steelyard \
    && /opt/steelyard/bin/pip install --no-cache-dir ".${EXTRAS:+[$EXTRAS]}" \
    && /opt/steelyard/bin/pip uninstall --yes pip

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 steelyard
COPY --from=build /opt/steelyard /opt/steelyard
ENV PATH=/opt/steelyard/bin:$PATH PYTHONUNBUFFERED=1
USER steelyard
WORKDIR /home/steelyard
VOLUME /home/steelyard/artifacts
ENTRYPOINT ["steelyard"]
CMD ["--help"]
