#!/usr/bin/env bash
# Installs what is missing, then starts everything. `npm start -- --help` says more.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash scripts/install.sh
exec node_modules/.bin/node scripts/start/main.ts "$@"
