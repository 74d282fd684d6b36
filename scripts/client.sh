# What seed.sh and simulate.sh share: where the services are, how to ask them, and what the person who waits is told.
# All of it runs in bash 3.2, which macOS has: no associative arrays, no mapfile.

# Bytes instead of characters: [a-z] means the same everywhere, and UTF-8 passes every tool unchanged.
export LC_ALL=C

# fail TEXT [STATUS]: one line, and the end. Inside $(…) it ends only the subshell, so assign plainly (x=$(…), never
# local x=$(…) or a longer word): `set -e` then ends the script.
fail() {
  # On a terminal, a progress line may be standing there.
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
  printf '%s: %s\n' "$(basename "$0" .sh)" "$1" >&2
  exit "${2:-1}"
}

usage_error() {
  fail "$1; --help shows the usage" 2
}

# address_of VARIABLE DEFAULT: the first of the variable's addresses, which commas separate.
address_of() {
  local address=${!1:-}
  address=${address:-$2}
  address=${address%%,*}
  address=${address// /}
  address=${address%/}
  local form='^https?://[^/"\[:space:]]+$'
  [[ $address =~ $form ]] || usage_error "$1 is \"$address\": it must be an address such as $2"
  echo "$address"
}

# request ARGUMENT…: curl as both scripts need it. No ~/.curlrc (--disable, which must come first) and no proxy, as the
# services use none to reach each other; no patterns in URLs.
request() {
  curl --disable --silent --noproxy '*' --globoff --connect-timeout 3 --max-time 10 "$@"
}

# require_up [NAME ADDRESS]…: ends the script unless each service answers.
require_up() {
  while [ $# -gt 0 ]; do
    request --fail --output /dev/null "$2/healthz" || fail "$1 does not answer at $2; npm start starts all services"
    shift 2
  done
}

# json_strings KEY <JSON: each string that has this key, one a line, escapes as they are. Exact, because a quote inside a
# JSON string has a backslash before it: "key": stands nowhere but where a key is.
json_strings() {
  { grep -oE "\"$1\" *: *\"([^\"\\\\]|\\\\.)*\"" || true; } | sed -E 's/^"[^"]*" *: *"(.*)"$/\1/'
}

# progress DONE TOTAL WHAT: on a terminal one line that is rewritten, elsewhere a line at each quarter.
progress() {
  if [ -t 1 ]; then
    printf '\r\033[K%d of %d %s' "$1" "$2" "$3"
    [ "$1" -lt "$2" ] || echo
  elif (($1 * 4 / $2 > ($1 - 1) * 4 / $2)); then
    printf '%d of %d %s\n' "$1" "$2" "$3"
  fi
}
