#!/usr/bin/env bash
# Plays random assets at the edge as random users, waits until all views are counted, and shows the most viewed assets.
set -euo pipefail
source "$(dirname "$0")/client.sh"

views=200
users=20
max_views=100000
max_users=10000 # as many as reporting looks up at once
parallel=16
patience_s=10

usage="Usage: npm run simulate [-- --views $views --users $users]

Plays random assets as random users, user-1, user-2 and so on, waits until the views are counted, and shows the most
viewed assets. Needs all services; npm run seed gives them something to play.

  --views N      how many plays, 1 to $max_views (default: $views)
  --users N      by how many users, 1 to $max_users (default: $users)

  PLAY_URL       where play is (default: http://127.0.0.1:8080)
  METADATA_URL   where metadata is (default: http://127.0.0.1:8081)
  REPORTING_URL  where reporting is (default: http://127.0.0.1:8082)"

main() {
  read_arguments "$@"
  play=$(address_of PLAY_URL http://127.0.0.1:8080)
  metadata=$(address_of METADATA_URL http://127.0.0.1:8081)
  reporting=$(address_of REPORTING_URL http://127.0.0.1:8082)
  require_up play "$play" metadata "$metadata" reporting "$reporting"

  list_assets
  count_views
  local before=$counted
  play_assets
  wait_until_counted "$before"
  show_top
  [ "$failed" -eq 0 ] || fail "$failed plays failed, the last with status $last_failure"
  [ "$counted" -ge "$played" ] || fail "only $counted of $played views are counted so far; is queue-listener up?"
}

read_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --views)
        views=$(number "$1" "${2-}" $max_views)
        shift
        ;;
      --users)
        users=$(number "$1" "${2-}" $max_users)
        shift
        ;;
      --views=*) views=$(number --views "${1#*=}" $max_views) ;;
      --users=*) users=$(number --users "${1#*=}" $max_users) ;;
      --help | -h)
        echo "$usage"
        exit 0
        ;;
      *) usage_error "unknown argument $1" ;;
    esac
    shift
  done
}

# number FLAG TEXT MAX
number() {
  [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] && [ "$2" -le "$3" ] || usage_error "$1 is \"$2\": it must be a whole number, 1 to $3"
  echo "$2"
}

# Sets `assets` to all ids that metadata has.
list_assets() {
  local after='' page id
  assets=()
  while
    page=$(get metadata "$metadata/content/assets${after:+?after=$after}")
    while read -r id; do assets+=("$id"); done < <(json_strings id <<<"$page")
    after=$(json_strings next <<<"$page")
    [ -n "$after" ]
  do :; done
  [ ${#assets[@]} -gt 0 ] || fail 'metadata has no assets; npm run seed gives it some'
}
