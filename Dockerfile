# The host of this repository with its flows; a service of your own is built as examples/orders/Dockerfile is.
#   docker build -t kstreamsharp:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/kstreamsharp:0.1.0 --push .
ARG DOTNET=10.0

# The SDK runs as what the machine is and builds for what is asked for. A builder without BuildKit knows neither variable.
FROM --platform=${BUILDPLATFORM:-linux} mcr.microsoft.com/dotnet/sdk:${DOTNET} AS build
ARG TARGETARCH
ENV CI=true
WORKDIR /source
COPY Directory.* global.json ./
COPY src/Streams/*.csproj src/Streams/
COPY src/Hosting/*.csproj src/Hosting/
COPY src/Extensions/S3/*.csproj src/Extensions/S3/
COPY src/Extensions/AzureBlob/*.csproj src/Extensions/AzureBlob/
COPY src/Host/*.csproj src/Host/
RUN dotnet restore src/Host -a "${TARGETARCH:-$(dpkg --print-architecture)}"
COPY . .
ARG VERSION=0.1.0
# Native libraries for musl and for jemalloc come with the packages and cannot be loaded on this base.
RUN dotnet publish src/Host --no-restore -a "${TARGETARCH:-$(dpkg --print-architecture)}" --no-self-contained -o /out -p:UseAppHost=false -p:Version="$VERSION" \
    && rm -f /out/alpine-*.so /out/*-musl.so /out/*-jemalloc.so \
    && cp LICENSE /out/ && mkdir /empty

FROM mcr.microsoft.com/dotnet/aspnet:${DOTNET}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="KStreamSharp" \
      org.opencontainers.image.description="Stateful stream processing on Kafka for .NET: the host with its flows" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
WORKDIR /app
COPY --from=build /out .
# Made here so that a new volume belongs to the user, and not to root: the state, and snapshots in a folder.
COPY --from=build --chown=1654:1654 /empty /var/lib/kstream
COPY --from=build --chown=1654:1654 /empty /var/lib/kstream-snapshots
# Half of the memory for .NET's heap (50 in hexadecimal): RocksDB and the Kafka client take theirs beside it.
ENV KStreamSharp__StateDir=/var/lib/kstream KStreamSharp__Http=*:8081 DOTNET_GCHeapHardLimitPercent=32
VOLUME /var/lib/kstream
EXPOSE 8081
USER $APP_UID
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["dotnet", "/app/KStreamSharp.Host.dll", "health"]
ENTRYPOINT ["dotnet", "/app/KStreamSharp.Host.dll"]
CMD ["run", "flights"]
