#!/usr/bin/env bash
# Prints the version in package.json.
exec sed -n 's/^  "version": "\(.*\)",$/\1/p' "$(dirname "$0")/../package.json"
