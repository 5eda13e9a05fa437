# headwater as a container: one binary, an unprivileged user, data in /var/lib/headwater.

FROM rust:1.95-bookworm AS build
# The image's own toolchain, whatever rust-toolchain.toml would fetch.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN cargo build --locked --profile dist -p headwater

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --user-group --create-home --home-dir /var/lib/headwater headwater \
    && chmod 700 /var/lib/headwater
COPY --from=build /src/target/dist/headwater /usr/local/bin/headwater
USER headwater
VOLUME /var/lib/headwater
EXPOSE 9092
ENTRYPOINT ["headwater"]
CMD ["run", "--config", "/etc/headwater/headwater.toml"]
