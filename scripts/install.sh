#!/usr/bin/env bash
# Installs what package-lock.json asks for, unless it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=node_modules/.installed
want=$(cksum <package-lock.json)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && [ -x node_modules/.bin/node ] && exit 0

echo 'Installing dependencies …' >&2
# The development dependencies include the Node that everything runs on.
npm ci --include=dev --no-audit --no-fund --loglevel=error >&2
echo "$want" >"$stamp"
