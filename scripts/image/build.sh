#!/usr/bin/env bash
# Builds the image with docker, podman or buildah. See `npm run image -- --help`.
set -euo pipefail
cd "$(dirname "$0")/../.."

name=video-edge-aggregator:local

usage="Usage: npm run image [-- OPTION…]

Builds the image $name with the first of docker, podman and buildah that is installed (see docs/deploying.md).
Passes options, such as --build-arg BASE=IMAGE or --tag NAME, to its build command.

  IMAGE_BUILDER  the program to use if more than one is installed"

main() {
  local builder
  case ${1-} in
    --help | -h) echo "$usage"; exit 0 ;;
    --version) exec bash scripts/version.sh ;;
  esac
  builder=$(find_builder)
  # By default, podman and buildah build OCI images, which do not support health checks.
  [ "$builder" = docker ] || set -- --format docker "$@"
  exec "$builder" build --file deploy/image/Dockerfile --tag "$name" \
    --build-arg VERSION="$(bash scripts/version.sh)" \
    --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    --build-arg CREATED="$(git show --no-patch --format=%cI 2>/dev/null || echo unknown)" \
    "$@" .
}

find_builder() {
  local builder
  for builder in ${IMAGE_BUILDER:-docker podman buildah}; do
    command -v "$builder" >/dev/null && echo "$builder" && return
  done
  echo "npm run image: ${IMAGE_BUILDER:-docker, podman or buildah} is not installed" >&2
  exit 1
}

main "$@"
