# Shared by seed.sh and simulate.sh: settings, addresses, requests and errors.
# Compatible with bash 3.2, the version on macOS: no associative arrays, no mapfile.

# With this locale, [a-z] matches only ASCII letters, and every tool passes UTF-8 through unchanged.
export LC_ALL=C

edge_port=''

# fail TEXT [STATUS]: prints the text and exits. Inside $(…), it exits only the subshell. Use a plain assignment
# (x=$(…), never local x=$(…)), so that `set -e` then exits the script.
fail() {
  # On a terminal, the cursor may be at the end of a progress line.
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
  printf '%s: %s\n' "$(basename "$0" .sh)" "$1" >&2
  exit "${2:-1}"
}

usage_error() {
  fail "$1; --help shows the usage" 2
}

# unreachable SERVICE ADDRESS CURL_STATUS: exits with a message that explains the status.
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

# address_of VARIABLE OFFSET: prints the URL of the service at this offset from the edge's port. If the variable lists
# several URLs, separated by commas, uses the first. --port overrides the variable.
address_of() {
  local address host form='^https?://[^/"\[:space:]]+$'
  if [ -z "$edge_port" ]; then address=$(setting "$1"); fi
  host=$(setting HOST)
  case $host in
    '' | 0.0.0.0 | ::) host=127.0.0.1 ;;
    *:*) host="[$host]" ;;
  esac
  address=${address:-http://$host:$((${edge_port:-8080} + $2))}
  address=${address%%,*}
  address=${address// /}
  address=${address%/}
  [[ $address =~ $form ]] ||
    usage_error "$1 is \"$address\": it must be an address such as http://127.0.0.1:$((8080 + $2))"
  echo "$address"
}

# setting VARIABLE: prints its value from the environment, otherwise from .env. The file is never executed. It is parsed
# as in Node: the last assignment wins, quotes are removed, and # starts a comment outside quotes.
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

# secret VARIABLE: prints its value, or the content of the file in VARIABLE_FILE.
secret() {
  local value file
  value=$(setting "$1")
  file=$(setting "$1_FILE")
  [ -z "$value" ] || [ -z "$file" ] || usage_error "$1 and $1_FILE are both set: set only one of them"
  if [ -n "$file" ]; then
    # The shell's own message would contain the path, which is the secret itself if the user confused the variables.
    value=$({ tr -d '\r' <"$file"; } 2>/dev/null) || usage_error "the file in $1_FILE cannot be read"
    [ -n "$value" ] || usage_error "the file in $1_FILE is empty"
  fi
  printf '%s' "$value"
}

# Prints the header with a token, if there is one. curl reads the header from a file, because command-line arguments are
# visible to all users. If the setting contains two tokens, uses the first.
authorization() {
  [ -z "$1" ] || printf 'authorization: Bearer %s\n' "${1%% *}"
}

# request ARGUMENT…: runs curl with common options. Ignores ~/.curlrc (--disable must come first), disables URL
# globbing, and, like the services, ignores proxies.
request() {
  local ca
  ca=$(setting UPSTREAM_CA)
  curl --disable --silent ${ca:+--cacert "$ca"} --noproxy '*' --globoff --connect-timeout 3 --max-time 10 "$@"
}

# json_strings KEY <JSON: prints all strings with this key, one per line, with quotes and backslashes unescaped. Control
# characters stay escaped, so that none reaches the terminal. JSON strings contain no unescaped quotes, so "key": is
# always a key.
json_strings() {
  { grep -oE "\"$1\" *: *\"([^\"\\\\]|\\\\.)*\"" || true; } | sed -E 's/^"[^"]*" *: *"(.*)"$/\1/; s/\\(["\\])/\1/g'
}

# json_number KEY <JSON: prints the first integer with this key.
json_number() {
  { grep -oE "\"$1\" *: *[0-9]+" || true; } | head -n 1 | tr -dc 0-9
}
