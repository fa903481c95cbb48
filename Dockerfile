# Two stages: the first builds, the second carries the program and nothing else.
FROM rust:1.95-bookworm AS build
WORKDIR /farthing
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/farthing/target \
    cargo build --locked --release && cp target/release/farthing /usr/local/bin/farthing

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/farthing farthing
COPY --from=build /usr/local/bin/farthing /usr/local/bin/farthing
USER farthing
WORKDIR /var/lib/farthing
VOLUME /var/lib/farthing
# Inside a container loopback reaches nobody; what is published to the outside is the host's decision.
ENV FARTHING_LISTEN=0.0.0.0:8787 FARTHING_LOG_FORMAT=json
EXPOSE 8787
ENTRYPOINT ["farthing"]
CMD ["serve"]
