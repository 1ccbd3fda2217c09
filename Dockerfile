# One image for CPUs and GPUs: the binary, the parts of glibc that it and NVIDIA's driver load, and nothing else. No shell, no package manager,
# no CUDA toolkit: the driver is brought by NVIDIA's container runtime.
#
#   docker build --tag convnext-server .
#   docker run --rm --read-only --cap-drop ALL --publish 8080:8080 --publish 9000:9000 convnext-server
#   docker run … --gpus all convnext-server
#
# `cargo xtask image` builds it with buildah and runs it; `deploy/README.md` says what to mount.

ARG RUST=1.95.0
FROM docker.io/library/rust:${RUST}-slim-bookworm AS build

# the toolchain of the base image, which is the one of rust-toolchain.toml, without the components that only checks need
ARG RUST
ENV RUSTUP_TOOLCHAIN=${RUST}
WORKDIR /src
COPY . .
# No path of the machine that builds may reach the binary, nor the time, which the allocator's C would write into it, so that two builds give the same one.
RUN SOURCE_DATE_EPOCH=1 RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-/usr/local/cargo}=/cargo --remap-path-prefix=/src=/src" \
    cargo build --locked --release --package convnext-server --bin convnext
RUN sh deploy/image/root.sh target/release/convnext /root-of-image


FROM scratch

LABEL org.opencontainers.image.title="convnext-server" \
      org.opencontainers.image.description="Serves image classification with ConvNeXt: one binary, a JPEG in and labels out" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /root-of-image /

# what NVIDIA's container runtime asks: all GPUs, and of the driver what computing needs
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    # where runtimes put the driver; the first is GKE's
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64:/usr/lib64 \
    # models that are fetched, and what the driver compiled: kept where a volume is mounted
    HF_HOME=/cache/huggingface \
    CUDA_CACHE_PATH=/cache/cuda \
    # the admin port stays on loopback, where only the container itself reaches it
    CONVNEXT_HTTP_ADDR=0.0.0.0:8080 \
    CONVNEXT_GRPC_ADDR=0.0.0.0:9000

# The user has no name, and owns nothing but /cache.
USER 65532:65532
EXPOSE 8080 9000
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["/usr/bin/convnext", "health"]
ENTRYPOINT ["/usr/bin/convnext"]
CMD ["serve"]
