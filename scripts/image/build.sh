#!/usr/bin/env bash
# Builds the image with docker, podman or buildah. See `npm run image -- --help`.
set -euo pipefail
cd "$(dirname "$0")/../.."

name=video-edge-aggregator:local

usage="Usage: npm run image [-- OPTION…]

Builds the image $name with the first of docker, podman and buildah that is installed: docs/deploying.md.
Options are passed on to its build command, such as --build-arg BASE=IMAGE or --tag NAME.

  IMAGE_BUILDER  the program to build with, if several are installed"

main() {
  local builder
  case ${1-} in
    --help | -h) echo "$usage"; exit 0 ;;
    --version) exec bash scripts/version.sh ;;
  esac
  builder=$(find_builder)
  # podman and buildah build OCI images by default, which have no health check.
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
