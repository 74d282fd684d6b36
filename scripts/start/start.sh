#!/usr/bin/env bash
# Installs dependencies if needed, then starts everything. See `npm start -- --help`.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash scripts/install.sh
exec node_modules/.bin/node scripts/start/main.ts "$@"
