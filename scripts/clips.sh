#!/usr/bin/env bash
# Draws the demo catalogue's clips. The clips are in the repository; run this script only to change them.
set -euo pipefail
cd "$(dirname "$0")/.."

media=deploy/cdn/media/clips
seconds=12
fps=24
segment=3 # seconds
size=640x360
font='DejaVu Sans Mono'
# With these options, the output is reproducible byte for byte, and each segment starts with a key frame.
encoding=(
  -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact
  -threads 1 -c:v libx264 -profile:v main -level 3.0 -preset veryslow -crf 27
  -g $((fps * segment)) -keyint_min $((fps * segment)) -sc_threshold 0 -c:a aac -b:a 48k -ac 1
)

usage="Usage: bash scripts/clips.sh [DIRECTORY]

Draws the demo catalogue's clips with ffmpeg 5 or later. Writes each clip to DIRECTORY (default: $media) as
NAME.mp4, and to NAME/ as HLS with two renditions and captions. Needs libx264 and the font $font."

main() {
  case ${1-} in --help | -h) echo "$usage"; return ;; --version) exec bash scripts/version.sh ;; esac
  local target=${1:-$media}
  mkdir -p "$target"
  clip sunrise 'A disc rises over the sea.' 'It stands at its highest.' 'It sinks on the other side.' \
    "$(chord 196 246.94 293.66)" "$(sunrise)"
  clip orbits 'Two planets circle a star.' 'The inner one is twice as fast.' 'They end where they began.' \
    "$(chord 174.61 220 261.63)" "$(orbits)"
  clip bounce 'Three balls leave the ground.' 'Each keeps its own time.' 'They land together.' \
    "$(chord 220 277.18 329.63)" "$(bounce)"
}

# Draws an asset's MP4, writes its captions, and derives the two renditions from the MP4.
clip() {
  local name=$1 first=$2 second=$3 third=$4 tones=$5 picture=$6
  local label="drawtext=font=$font:fontcolor=white@0.9:fontsize=h/14:y=h*0.07"
  rm -rf "${target:?}/$name" "$target/$name.mp4"
  mkdir "$target/$name"
  echo "drawing $target/$name"
  ffmpeg -hide_banner -loglevel warning -filter_complex_threads 1 -filter_complex "
      $picture,$label:x=w*0.05:text=$name,$label:x=w*0.95-tw:text='%{eif\:t\:d\:2}.%{eif\:mod(t*10\,10)\:d} s',format=yuv420p[v];
      $tones[a]" \
    -map '[v]' -map '[a]' -t $seconds "${encoding[@]}" -movflags +faststart "$target/$name.mp4"
  captions "$first" "$second" "$third" >"$target/$name/captions.vtt"
  renditions "$target/$name"
}

# Each playlist refers to its segments by relative paths.
renditions() {
  ffmpeg -hide_banner -loglevel warning -filter_complex_threads 1 -i "$1.mp4" \
    -filter_complex '[0:v]split[v360][high];[high]scale=320:180[v180]' \
    -map '[v360]' -map 0:a -map '[v180]' -map 0:a "${encoding[@]}" \
    -f hls -hls_time $segment -hls_playlist_type vod -hls_segment_type fmp4 -hls_flags independent_segments \
    -hls_fmp4_init_filename '%v-init.mp4' -hls_segment_filename "$1/%v-%d.m4s" \
    -var_stream_map 'v:0,a:0,name:360p v:1,a:1,name:180p' "$1/%v.m3u8"
  index "$1"
}

# Writes the playlist that lists the two renditions and the captions, because ffmpeg cannot write this playlist.
index() {
  local rendition
  cat >"$1/captions.m3u8" <<END
#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:$seconds
#EXT-X-PLAYLIST-TYPE:VOD
#EXTINF:$seconds,
captions.vtt
#EXT-X-ENDLIST
END
  {
    printf '#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n'
    echo '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="captions",NAME="English",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,URI="captions.m3u8"'
    for rendition in 640x360 320x180; do
      echo "#EXT-X-STREAM-INF:BANDWIDTH=$(peak "$1/${rendition#*x}p"),RESOLUTION=$rendition,CODECS=\"avc1.4d401e,mp4a.40.2\",SUBTITLES=\"captions\""
      echo "${rendition#*x}p.m3u8"
    done
  } >"$1/index.m3u8"
}

# Prints the largest segment's bits per second.
peak() {
  wc -c "$1"-?.m4s | awk -v seconds=$segment '$2 != "total" && $1 > largest { largest = $1 } END { print int(largest * 8 / seconds) }'
}

# Prints a clip's captions in WebVTT: one line for each third of the clip.
captions() {
  cat <<END
WEBVTT
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0

00:00:00.000 --> 00:00:04.000
$1

00:00:04.000 --> 00:00:08.000
$2

00:00:08.000 --> 00:00:12.000
$3
END
}

# Three quiet tones that swell and fade one after another.
chord() {
  echo "aevalsrc='0.05*(sin(2*PI*$1*t)*(1+sin(PI*t/3))+sin(2*PI*$2*t)*(1+sin(PI*(t-2)/3))+sin(2*PI*$3*t)*(1+sin(PI*(t-4)/3))):s=44100',
    afade=d=1,afade=t=out:st=$((seconds - 1)):d=1"
}

# The background does not move, because moving gradients make the clips much larger.
gradient() { echo "gradients=s=$size:r=$fps:c0=$1:c1=$2:x0=320:y0=0:x1=320:y1=360:nb_colors=2:speed=0.00001:seed=1"; }

# disc COLOUR DIAMETER: a disc on a transparent background.
disc() {
  echo "color=$1:s=$2x$2:r=$fps,format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*clip(($2-1)/2-hypot(X-($2-1)/2,Y-($2-1)/2),0,1)'"
}

# waves COLOUR LENGTH SPEED: water with waves on its surface.
waves() {
  echo "color=$1:s=640x130:r=$fps,format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*clip(Y-20-9*sin(X/$2+T*$3)-5*sin(X/$2*2.3-T*$3*0.6),0,1)'"
}

sunrise() {
  echo "$(gradient 0x2b2d6e 0xf0876a)[sky];$(disc 0xffe0a3 92)[sun];$(waves 0x3b3f86 71 1.1)[far];$(waves 0x1d2157 53 -1.6)[near];
    [sky][sun]overlay=x='W/2-w/2-(W*0.36)*cos(PI*t/$seconds)':y='H*0.72-(H*0.52)*sin(PI*t/$seconds)-h/2':format=auto[rising];
    [rising][far]overlay=y=H-130[sea];[sea][near]overlay=y=H-88"
}

orbits() {
  echo "$(gradient 0x0b1026 0x33204f)[space];$(disc 0xffcf6b 84)[star];$(disc 0x59c3c3 30)[inner];$(disc 0xe56b6f 44)[outer];
    [space][star]overlay=x=W/2-w/2:y=H/2-h/2[lit];
    [lit][inner]overlay=x='W/2-w/2+120*cos(2*PI*t/3)':y='H/2-h/2+72*sin(2*PI*t/3)'[one];
    [one][outer]overlay=x='W/2-w/2+236*cos(2*PI*t/6)':y='H/2-h/2+128*sin(2*PI*t/6)'"
}

bounce() {
  echo "$(gradient 0x0f766e 0x99d5c9)[wall];$(disc 0xffb703 64)[left];$(disc 0xfb5607 84)[middle];$(disc 0xfefae0 52)[right];
    [wall]drawbox=y=300:h=60:color=0x134e4a:t=fill[room];
    [room][left]overlay=x=W*0.22-w/2:y='300-h-170*abs(sin(PI*t/1.5))'[one];
    [one][middle]overlay=x=W*0.5-w/2:y='300-h-190*abs(sin(PI*t/2))'[two];
    [two][right]overlay=x=W*0.78-w/2:y='300-h-150*abs(sin(PI*t/1.2))'"
}

main "$@"
