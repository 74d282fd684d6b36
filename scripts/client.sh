# What seed.sh and simulate.sh share: settings, addresses, requests and errors.
# All of it runs in bash 3.2, which macOS has: no associative arrays, no mapfile.

# Bytes instead of characters: [a-z] means the same everywhere, and UTF-8 passes every tool unchanged.
export LC_ALL=C

edge_port=''

# fail TEXT [STATUS]: prints the text and exits. Inside $(…) it exits only the subshell, so assign plainly (x=$(…), never
# local x=$(…) or a longer word): `set -e` then ends the script.
fail() {
  # On a terminal, the cursor may be at the end of a progress line.
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
  printf '%s: %s\n' "$(basename "$0" .sh)" "$1" >&2
  exit "${2:-1}"
}

usage_error() {
  fail "$1; --help shows the usage" 2
}

# unreachable SERVICE ADDRESS CURL_STATUS
unreachable() {
  case $3 in
    6 | 7) fail "$1 is not reachable at $2; npm start starts all services" ;;
    28) fail "$1 at $2 did not respond in time" ;;
    *) fail "the request to $1 at $2 failed (curl status $3)" ;;
  esac
}

# read_port TEXT: sets `edge_port`.
read_port() {
  local form='^[1-9][0-9]{3,4}$'
  [[ $1 =~ $form ]] && [ "$1" -ge 1024 ] && [ "$1" -le 60000 ] ||
    usage_error "--port is \"$1\": it must be a port, 1024 to 60000"
  edge_port=$1
}

# address_of VARIABLE OFFSET: where a service is whose port is this much greater than that of the edge. A variable may
# have several addresses, separated by commas; the first one counts.
address_of() {
  local address form='^https?://[^/"\[:space:]]+$'
  if [ -z "$edge_port" ]; then address=$(setting "$1"); fi
  address=${address:-http://127.0.0.1:$((${edge_port:-8080} + $2))}
  address=${address%%,*}
  address=${address// /}
  address=${address%/}
  [[ $address =~ $form ]] ||
    usage_error "$1 is \"$address\": it must be an address such as http://127.0.0.1:$((8080 + $2))"
  echo "$address"
}

# setting VARIABLE: its value in the environment, else in .env, which is never run as code. It is read as Node reads it:
# the last assignment counts, quotes are removed, and outside of quotes # starts a comment.
setting() {
  if [ -n "${!1+set}" ]; then
    printf '%s' "${!1}"
    return
  fi
  [ -f .env ] || return 0
  local line value='' form="^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*=[[:space:]]*(.*)$"
  while IFS= read -r line || [ -n "$line" ]; do
    if [[ $line =~ $form ]]; then value=${BASH_REMATCH[2]}; fi
  done <.env
  local quoted='^(["'\''`])(.*)$'
  if [[ $value =~ $quoted ]] && [[ ${BASH_REMATCH[2]} == *"${BASH_REMATCH[1]}"* ]]; then
    value=${BASH_REMATCH[2]%%"${BASH_REMATCH[1]}"*}
  else
    value=${value%%#*}
    value=${value%"${value##*[![:space:]]}"}
  fi
  printf '%s' "$value"
}

# request ARGUMENT…: curl with what both scripts need. No ~/.curlrc (--disable, which must come first) and no proxy, as
# the services use none to reach each other; no patterns in URLs.
request() {
  curl --disable --silent --noproxy '*' --globoff --connect-timeout 3 --max-time 10 "$@"
}

# json_strings KEY <JSON: each string with this key, one a line, without escapes of quotes and backslashes; control
# characters stay escaped, so that none reaches the terminal. Exact, because a quote inside a JSON string has a
# backslash before it: "key": occurs nowhere but where a key is.
json_strings() {
  { grep -oE "\"$1\" *: *\"([^\"\\\\]|\\\\.)*\"" || true; } | sed -E 's/^"[^"]*" *: *"(.*)"$/\1/; s/\\(["\\])/\1/g'
}

# json_number KEY <JSON: the first integer with this key.
json_number() {
  { grep -oE "\"$1\" *: *[0-9]+" || true; } | head -n 1 | tr -dc 0-9
}
