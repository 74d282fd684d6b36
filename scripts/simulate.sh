#!/usr/bin/env bash
# Plays random assets as random users, waits until all views are counted, and prints the most viewed assets.
set -euo pipefail
source "$(dirname "$0")/client.sh"

views=200
users=20
rate=0 # plays per second; 0: as fast as possible
max_views=100000
max_rate=1000
max_users=10000 # reporting looks up at most this many users at once
parallel=16
patience_s=10

usage="Usage: npm run simulate [-- --views $views --users $users --rate N --port N]

Plays random assets as random users, user-1, user-2 and so on, waits until all views are counted, and prints the most
viewed assets. Needs all services; npm run seed provides more assets.

  --views N      number of plays, 1 to $max_views (default: $views)
  --users N      number of users, 1 to $max_users (default: $users)
  --rate N       plays per second, 1 to $max_rate (default: as many as possible)
  --port N       the edge's port, as for npm start: metadata listens on N+1, reporting on N+2

  PLAY_URL       play's URL (default: http://127.0.0.1:8080)
  METADATA_URL   metadata's URL (default: http://127.0.0.1:8081)
  REPORTING_URL  reporting's URL (default: http://127.0.0.1:8082)
  READ_TOKEN     token for reads that name users, or READ_TOKEN_FILE with its path (default: none)

Flags override environment variables, which override .env, which overrides the defaults."

main() {
  read_arguments "$@"
  play=$(address_of PLAY_URL 0)
  metadata=$(address_of METADATA_URL 1)
  reporting=$(address_of REPORTING_URL 2)
  token=$(secret READ_TOKEN)
  require_up play "$play" metadata "$metadata" reporting "$reporting"

  list_assets
  wait_for_counts
  local before=$counted
  play_assets
  wait_until_counted "$before"
  show_top
  [ $failed -eq 0 ] || fail "$failed of $views plays failed at $play, the last with $last_failure"
  [ $counted -eq $played ] || fail "only $counted of $played views are counted so far; is queue-listener up?"
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
      --rate)
        rate=$(number "$1" "${2-}" $max_rate)
        shift
        ;;
      --port)
        read_port "${2-}"
        shift
        ;;
      --port=*) read_port "${1#*=}" ;;
      --views=*) views=$(number --views "${1#*=}" $max_views) ;;
      --rate=*) rate=$(number --rate "${1#*=}" $max_rate) ;;
      --users=*) users=$(number --users "${1#*=}" $max_users) ;;
      --help | -h)
        echo "$usage"
        exit 0
        ;;
      --version) exec bash "$(dirname "$0")/version.sh" ;;
      *) usage_error "unknown argument $1" ;;
    esac
    shift
  done
}

# number FLAG TEXT MAX: prints the number, or exits if it is not between 1 and MAX.
number() {
  local form='^[1-9][0-9]{0,8}$'
  [[ $2 =~ $form ]] && [ "$2" -le "$3" ] || usage_error "$1 is \"$2\": it must be a whole number, 1 to $3"
  echo "$2"
}

# require_up [SERVICE ADDRESS]…: exits unless each service responds.
require_up() {
  while [ $# -gt 0 ]; do
    request --fail --output /dev/null "$2/healthz" || unreachable "$1" "$2" $?
    shift 2
  done
}

# Sets `assets` to the ids of all assets in metadata.
list_assets() {
  local query='' page id after
  assets=()
  while true; do
    page=$(call metadata "$metadata/content/assets$query")
    while read -r id; do assets+=("$id"); done < <(json_strings id <<<"$page")
    after=$(json_strings next <<<"$page")
    [ -n "$after" ] || break
    query="?after=$after"
  done
  [ ${#assets[@]} -gt 0 ] || fail 'metadata has no assets; run npm run seed to add some'
}

# Sets `played`, `missing`, `refused` and `failed` to the number of plays with that outcome, and `last_failure`.
play_assets() {
  local status
  played=0 missing=0 refused=0 failed=0 last_failure=''
  while read -r status; do
    case $status in
      200) played=$((played + 1)) ;;
      404) missing=$((missing + 1)) ;;
      403 | 451) refused=$((refused + 1)) ;;
      000) failed=$((failed + 1)) last_failure='no response' ;;
      *) failed=$((failed + 1)) last_failure="status $status" ;;
    esac
    progress $((played + missing + refused + failed)) "$views" 'assets played'
  done < <(send_plays)
  [ $missing -eq 0 ] || echo "$missing plays found no asset (404): metadata has it, but cdnurl does not"
  [ $refused -eq 0 ] || echo "$refused plays were refused (403, 451): the asset's rights, or play's settings, do not allow them"
  [ $played -gt 0 ] || fail "none of $views plays succeeded at $play${last_failure:+, the last with $last_failure}"
}

# Sends all plays, `rate` of them per second, and prints the status of each.
send_plays() {
  local ca run first next=0
  ca=$(setting UPSTREAM_CA)
  run=$(date +%s)-$$-$RANDOM
  while [ $next -lt "$views" ]; do
    first=$next next=$views
    if [ "$rate" -gt 0 ] && [ $((first + rate)) -lt "$views" ]; then next=$((first + rate)); fi
    # Start the next plays at least a second after these, even if these finish sooner.
    if [ "$next" -lt "$views" ]; then sleep 1 & fi
    # --silent alone does not hide the --parallel progress meter.
    random_plays "$run" "$first" "$next" |
      curl --disable ${ca:+--cacert "$ca"} --no-progress-meter --parallel --parallel-max $parallel --config - || true
    wait
  done
}

# random_plays RUN FIRST NEXT: prints a curl configuration, so that one process sends these plays. Each play has an
# idempotency key, as a real player's plays should.
random_plays() {
  local i asset user run=$1
  for ((i = $2; i < $3; i++)); do
    # RANDOM has only 15 bits.
    asset=${assets[(RANDOM << 15 | RANDOM) % ${#assets[@]}]}
    user=user-$((RANDOM % users + 1))
    # After `next`, all options must be repeated. Without `next`, each play would have the headers of all plays.
    [ "$i" -eq "$2" ] || echo next
    printf 'silent\nnoproxy = "*"\ngloboff\nconnect-timeout = 3\nmax-time = 10\n'
    printf 'url = "%s/play/asset/%s/user/%s"\noutput = "/dev/null"\n' "$play" "$asset" "$user"
    printf 'request = POST\nwrite-out = "%%{http_code}\\n"\nheader = "Idempotency-Key: \\"%s-%d\\""\n' "$run" "$i"
  done
}

# wait_until_counted BEFORE: waits until the users have `played` more views than BEFORE, or until the count has not
# changed for `patience_s`.
wait_until_counted() {
  local last=-1 changed_at=$SECONDS
  while true; do
    # While reporting is behind the log, it returns no counts.
    if count_views; then counted=$((counted - $1)); else counted=$((last < 0 ? 0 : last)); fi
    # Another simulation may be playing as the same users.
    [ $counted -le $played ] || counted=$played
    if [ $counted -ne $last ]; then
      progress $counted $played 'views counted'
      last=$counted changed_at=$SECONDS
    fi
    if [ $counted -eq $played ] || [ $((SECONDS - changed_at)) -ge $patience_s ]; then return; fi
    sleep 0.1
  done
}

# Waits until reporting has caught up with the log. Right after a start, reporting is always behind.
wait_for_counts() {
  local started_at=$SECONDS
  until count_views; do
    [ $((SECONDS - started_at)) -lt $patience_s ] || fail "reporting is behind the log; is queue-listener up?"
    sleep 0.1
  done
}

# Sets `counted` to the total number of views by all simulated users. Fails while reporting is behind the log.
count_views() {
  local response views_of_one
  response=$(
    simulated_users |
      call reporting "$reporting/events/lookup" --header 'content-type: application/json' \
        --header @<(authorization "$token") --data-binary @-
  ) || exit 1
  [[ $response != *'Counts are behind'* ]] || return 1
  counted=0
  while read -r views_of_one; do
    counted=$((counted + views_of_one))
  done < <(grep -oE '":[0-9]+' <<<"$response" | tr -d '":')
}

simulated_users() {
  local i
  printf '{"users":["user-1"'
  for ((i = 2; i <= users; i++)); do printf ',"user-%d"' "$i"; done
  printf ']}'
}

show_top() {
  local top id views_of_one title width=5
  top=$(call reporting "$reporting/events/top?by=asset&limit=10" --header @<(authorization "$token"))
  top=$({ grep -oE '"id":"[^"]*","views":[0-9]+' <<<"$top" || true; } | sed -E 's/"id":"(.*)","views":(.*)/\2 \1/')
  [ -n "$top" ] || return 0
  while read -r views_of_one id; do
    if [ ${#id} -gt $width ]; then width=${#id}; fi
  done <<<"$top"

  printf '\n%7s  %-*s  %s\n' views $width asset title
  while read -r views_of_one id; do
    title=$(request "$metadata/content/asset/$id" | json_strings title)
    printf '%7d  %-*s  %s\n' "$views_of_one" $width "$id" "$title"
  done <<<"$top"
}

# progress DONE TOTAL LABEL: on a terminal, rewrites one line; otherwise, prints a line at each quarter.
progress() {
  if [ -t 1 ]; then
    printf '\r\033[K%d of %d %s' "$1" "$2" "$3"
    [ "$1" -lt "$2" ] || echo
  elif (($1 * 4 / $2 > ($1 - 1) * 4 / $2)); then
    printf '%d of %d %s\n' "$1" "$2" "$3"
  fi
}

# call SERVICE URL [ARGUMENT…]: prints the response body.
call() {
  request --fail "${@:2}" || fail "the request to $1 at $2 failed"
}

main "$@"
