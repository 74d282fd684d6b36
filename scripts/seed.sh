#!/usr/bin/env bash
# Posts a catalogue to cdnurl and metadata.
set -euo pipefail
source "$(dirname "$0")/client.sh"

file="$(dirname "$0")/catalogue.jsonl"

usage='Usage: npm run seed [-- [--port N] [FILE]]

Posts the assets in FILE (default: scripts/catalogue.jsonl) to cdnurl and metadata; existing assets are replaced.
FILE has at most 16 MiB, with one JSON object per line for each asset:

  {"id":"123","title":"It","genre":"horror","summary":"A very scary movie","url":"path/to/asset123.mp4"}

Each service validates all lines before it stores any. You can safely run this command again, such as after a failure.

  --port N      edge port, as for npm start: metadata listens on N+1, cdnurl on N+3

  METADATA_URL  URL of metadata (default: http://127.0.0.1:8081)
  CDNURL_URL    URL of cdnurl (default: http://127.0.0.1:8083)
  WRITE_TOKEN   token that both services require for writes, or WRITE_TOKEN_FILE with its path (default: none)

Flags override environment variables, which override .env, which overrides the defaults.'

main() {
  read_arguments "$@"
  local cdnurl metadata
  token=$(secret WRITE_TOKEN)
  cdnurl=$(address_of CDNURL_URL 3)
  metadata=$(address_of METADATA_URL 1)
  # Seed cdnurl first, so that every asset in metadata can be played, even if the second request fails.
  seed cdnurl "$cdnurl" /url/assets
  seed metadata "$metadata" /content/assets
}

read_arguments() {
  local given=''
  while [ $# -gt 0 ]; do
    case $1 in
      --port)
        read_port "${2-}"
        shift
        ;;
      --port=*) read_port "${1#*=}" ;;
      --help | -h)
        echo "$usage"
        exit 0
        ;;
      --version) exec bash "$(dirname "$0")/version.sh" ;;
      --) ;;
      -*) usage_error "unknown flag $1" ;;
      *)
        [ -z "$given" ] || usage_error "expected at most one FILE, but got another: \"$1\""
        given=$1
        ;;
    esac
    shift
  done
  file=${given:-$file}
  [ -f "$file" ] && [ -r "$file" ] || usage_error "cannot read the file \"$file\""
}

# seed SERVICE ADDRESS PATH: posts the assets to the service, and prints how many it stored.
seed() {
  local response status body stored problems
  response=$(
    request --max-time 600 --header 'content-type: application/x-ndjson' --header @<(authorization "$token") \
      --data-binary "@$file" --write-out '\n%{http_code}' "$2$3"
  ) || unreachable "$1" "$2" $?
  # The response is the body, followed by the status on a separate line.
  status=${response##*$'\n'} body=${response%$'\n'*}
  stored=$(json_number stored <<<"$body")
  if [ "$status" = 200 ] && [ -n "$stored" ]; then
    echo "$1: $(assets "$stored") stored"
    return
  fi
  problems=$(problems_in "$body")
  fail "$1 at $2 returned $status $(json_strings status <<<"$body")${stored:+, $(assets "$stored") stored}${problems:+
$problems}"
}

assets() {
  if [ "$1" = 1 ]; then echo "1 asset"; else echo "$1 assets"; fi
}

# problems_in BODY: prints the entries of `errors`, one per line.
problems_in() {
  local string='"([^"\\]|\\.)*"'
  { grep -oE "\{\"path\":$string,\"message\":$string\}" <<<"$1" || true; } |
    sed -E 's/^\{"path":"(.*)","message":"(.*)"\}$/  \1: \2/; s/^  : /  /; s/\\(["\\])/\1/g'
}

main "$@"
