#!/usr/bin/env bash
# Posts a catalogue to metadata and cdnurl.
set -euo pipefail
source "$(dirname "$0")/client.sh"

usage='Usage: npm run seed [-- FILE]

Posts the assets of FILE (default: scripts/catalogue.jsonl) to metadata and cdnurl; an asset that exists is replaced.
FILE has one asset a line, a JSON object of five strings:

  {"id":"123","title":"It","genre":"horror","summary":"A very scary movie","url":"path/to/asset123.mp4"}

  METADATA_URL  where metadata is (default: http://127.0.0.1:8081)
  CDNURL_URL    where cdnurl is (default: http://127.0.0.1:8083)
  WRITE_TOKEN   the token that both ask of who writes (default: none)'

main() {
  read_arguments "$@"
  metadata=$(address_of METADATA_URL http://127.0.0.1:8081)
  cdnurl=$(address_of CDNURL_URL http://127.0.0.1:8083)
  read_catalogue
  require_up metadata "$metadata" cdnurl "$cdnurl"
  post_catalogue
}

read_arguments() {
  file="$(dirname "$0")/catalogue.jsonl"
  case ${1-} in
    --help | -h)
      echo "$usage"
      exit 0
      ;;
    -*) usage_error "unknown flag $1" ;;
    ?*) file=$1 ;;
  esac
  [ $# -le 1 ] || usage_error "there is one FILE at most, not also \"$2\""
  [ -f "$file" ] && [ -r "$file" ] || usage_error "there is no file \"$file\" that can be read"
}

# A line is taken apart into JSON strings that stay as they are, quotes and escapes included, and are put together again
# in the requests' bodies: whatever a title has in it arrives, and what is no valid string the services refuse.
string='"([^"\\]|\\.)*"'
colon='[[:space:]]*:[[:space:]]*'
member="[[:space:]]*$string$colon$string[[:space:]]*"
asset="^[[:space:]]*\\{$member(,$member){4}\\}[[:space:]]*$"
blank='^[[:space:]]*$'
id_form='^"[A-Za-z0-9][A-Za-z0-9._@~-]{0,127}"$'

# All lines are checked before any is posted. The arrays have an element a line that has an asset.
read_catalogue() {
  line_numbers=() ids=() metadata_bodies=() cdnurl_bodies=()
  local number=0 id title genre summary url
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    [[ $line =~ $blank ]] && continue
    [[ $line =~ $asset ]] || refuse "$number" 'not a JSON object of five strings: id, title, genre, summary, url'
    id=$(field "$number" id)
    title=$(field "$number" title)
    genre=$(field "$number" genre)
    summary=$(field "$number" summary)
    url=$(field "$number" url)
    # It becomes a part of the path, so it has to be right before it is sent.
    [[ $id =~ $id_form ]] ||
      refuse "$number" "the id $id must be 1 to 128 of A-Z a-z 0-9 . _ @ ~ - and start with a letter or digit"
    id=${id//\"/}
    line_numbers+=("$number")
    ids+=("$id")
    metadata_bodies+=("{\"title\":$title,\"genre\":$genre,\"summary\":$summary}")
    cdnurl_bodies+=("{\"url\":$url}")
  done <"$file"
  total=${#ids[@]}
  [ "$total" -gt 0 ] || fail "$file has no assets"
}

# field NUMBER NAME: a string of the line, with its quotes. Five members, of which none of the five names is missing: so
# none is there twice, and no other.
field() {
  local pattern="\"$2\"$colon($string)"
  [[ $line =~ $pattern ]] || refuse "$1" "it has no \"$2\""
  printf '%s' "${BASH_REMATCH[1]}"
}

refuse() {
  fail "$file, line $1: $2"
}

post_catalogue() {
  local i
  for ((i = 0; i < total; i++)); do
    # cdnurl first: what metadata lists can then be played, also after a refusal.
    post "${line_numbers[i]}" cdnurl "$cdnurl/url/asset/${ids[i]}" "${cdnurl_bodies[i]}"
    post "${line_numbers[i]}" metadata "$metadata/content/asset/${ids[i]}" "${metadata_bodies[i]}"
    progress $((i + 1)) "$total" 'assets posted'
  done
}

# post NUMBER SERVICE URL BODY
post() {
  local answer
  answer=$(
    request --header 'content-type: application/json' --header @<(authorization) --data-binary "$4" \
      --write-out '\n%{http_code}' "$3"
  ) || refuse "$1" "$2 does not answer at $3"
  # The answer is the body, then the status on a line of its own.
  local body=${answer%$'\n'*} status=${answer##*$'\n'}
  [ "$status" = 200 ] || refuse "$1" "$2 answers $status $body"
}

# In a file, not among curl's arguments, which every user of the machine can see.
authorization() {
  [ -z "${WRITE_TOKEN:-}" ] || printf 'authorization: Bearer %s\n' "$WRITE_TOKEN"
}

main "$@"
