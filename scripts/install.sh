#!/usr/bin/env bash
# Installs the dependencies in package-lock.json unless they are up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=node_modules/.installed
want=$(cksum <package-lock.json)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && [ -x node_modules/.bin/node ] && exit 0

echo 'Installing dependencies …' >&2
# The development dependencies include the pinned Node version.
npm ci --include=dev --no-audit --no-fund --loglevel=error >&2
echo "$want" >"$stamp"
