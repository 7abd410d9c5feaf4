# Stands for redis:7.2-bookworm where no registry can be reached: Debian's redis under the same user and tag.
FROM debian:bookworm-slim
RUN groupadd --system --gid 999 redis && useradd --system --gid redis --uid 999 redis \
 && apt-get update && apt-get install --yes --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/*
WORKDIR /data
CMD ["redis-server"]
