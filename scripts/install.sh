#!/usr/bin/env bash
# Installs the dependencies in package-lock.json unless they are up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=node_modules/.installed
want=$(cksum <package-lock.json)
is_installed() { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && [ -x node_modules/.bin/node ]; }

is_installed && exit 0

# Only one command at a time may install the dependencies. On macOS, which has no flock, commands do not wait for each
# other.
exec 9<package-lock.json
if command -v flock >/dev/null && ! flock -n 9; then
  echo 'Waiting for another command to install the dependencies …' >&2
  flock 9
fi
is_installed && exit 0

echo 'Installing dependencies …' >&2
# The development dependencies include the pinned Node version.
npm ci --include=dev --no-audit --no-fund --loglevel=error >&2
echo "$want" >"$stamp"
