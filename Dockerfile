# Image of the service: docker build -t wyoming-pocket-tts .
# With models inside, for machines without a network; separate several by commas:
#   docker build -t wyoming-pocket-tts --build-arg MODEL=german --build-arg PRECISION=int8 .
# How to run it: docs/install.md. script/check-image-root checks its contents without Docker.
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS program
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY wyoming_pocket_tts wyoming_pocket_tts
# The service without PyTorch. Neither this stage nor the image has a compiler: all compiled packages are wheels.
RUN python -m venv /opt/wyoming-pocket-tts \
    && /opt/wyoming-pocket-tts/bin/pip install --no-cache-dir . \
    && /opt/wyoming-pocket-tts/bin/pip uninstall --yes pip

FROM program AS models
ARG MODEL=""
ARG PRECISION=""
ENV HOME=/data \
    HF_HOME=/tmp/hub \
    WYOMING_POCKET_TTS_DATA_DIR=/data \
    WYOMING_POCKET_TTS_MODELS_NAMES=${MODEL} \
    WYOMING_POCKET_TTS_MODELS_PRECISION=${PRECISION}
# Downloads of the conversion stay in this stage.
RUN mkdir /data \
    && if [ -n "${MODEL}" ]; then /opt/wyoming-pocket-tts/bin/wyoming-pocket-tts download --quiet; fi

FROM python:${PYTHON_VERSION}-slim
ARG MODEL=""
ARG PRECISION=""
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="wyoming-pocket-tts" \
      org.opencontainers.image.description="Streaming text to speech for Home Assistant over the Wyoming protocol" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
RUN groupadd --gid 10200 tts \
    && useradd --uid 10200 --gid tts --home-dir /data --no-create-home --shell /usr/sbin/nologin tts
COPY --from=program /opt/wyoming-pocket-tts /opt/wyoming-pocket-tts
COPY --from=models --chown=10200:10200 /data /data
# Settings are variables here: docker run -e WYOMING_POCKET_TTS_MODELS_NAMES=german. Empty ones count as unset.
ENV PATH=/opt/wyoming-pocket-tts/bin:$PATH \
    HOME=/data \
    HF_HOME=/data/hub \
    XDG_CACHE_HOME=/data/cache \
    WYOMING_POCKET_TTS_DATA_DIR=/data \
    WYOMING_POCKET_TTS_MODELS_NAMES=${MODEL} \
    WYOMING_POCKET_TTS_MODELS_PRECISION=${PRECISION}
USER 10200:10200
# Temporary files go here if no other directory is writable.
WORKDIR /data
VOLUME /data
EXPOSE 10200
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 CMD ["wyoming-pocket-tts", "check"]
ENTRYPOINT ["wyoming-pocket-tts"]
CMD ["serve"]
