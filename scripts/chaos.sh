#!/usr/bin/env bash
# Injects random faults into a running system, and verifies that every successful play is counted.
set -euo pipefail
cd "$(dirname "$0")/.."

usage='Usage: npm run chaos [-- --minutes 10]

  --minutes N      duration (default: 10)

  CHAOS_SEED       random seed, to reproduce an earlier run (default: random; printed)
  CHAOS_STORE      maps, or postgres for two instances of reporting on one Postgres (default: both, with Postgres for
                   half as long)
  CHAOS_EDGE       open, or guarded for an edge with tokens, limits and an operations port (default: guarded with Postgres)
  CHAOS_NATS       cluster for three NATS servers, which need nats-server 2.10 or later (default: one server)
  NATS_SERVER_BIN  the nats-server to use (default: the one on the PATH)'

minutes=10
case ${1-} in
  '') ;;
  --minutes) minutes=${2-} ;;
  --minutes=*) minutes=${1#*=} ;;
  --help | -h) echo "$usage"; exit 0 ;;
  --version) exec bash scripts/version.sh ;;
  *) echo "npm run chaos: unknown argument $1; --help shows the usage" >&2; exit 2 ;;
esac
[[ $minutes =~ ^[1-9][0-9]{0,3}$ ]] || { echo "npm run chaos: --minutes is \"$minutes\": it must be a whole number" >&2; exit 2; }

bash scripts/install.sh
export CHAOS_SECONDS=$((minutes * 60))
exec node_modules/.bin/vitest run tests/chaos.test.ts
