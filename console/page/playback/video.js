/**
 * The reason why a video does not play. `expired`, `rejected`, `missing`: the CDN responds to the link with an error.
 * `unreachable`: there is no readable response. `unsupported`: the browser cannot play the video.
 * @typedef {'expired' | 'rejected' | 'missing' | 'unreachable' | 'unsupported'} Problem
 */
/**
 * `onStarted` is called once the video plays, possibly muted. `onProblem` may be called at any time, for example when
 * the link expires.
 * @typedef {{
 *   from: number, signal: AbortSignal,
 *   onStarted: (state: 'audible' | 'muted' | 'paused') => void, onProblem: (problem: Problem) => void,
 * }} Options
 */

const PLAYLIST = 'application/vnd.apple.mpegurl'
/** @type {Record<string, string>} */
const types = {
  m3u8: PLAYLIST,
  mp4: 'video/mp4',
  m4v: 'video/mp4',
  webm: 'video/webm',
  ogv: 'video/ogg',
  mov: 'video/quicktime',
}

/**
 * There is no worker, because the page's CSP forbids scripts from blobs. A short buffer saves bandwidth for videos that
 * are not watched to the end.
 */
const HLS_CONFIG = { enableWorker: false, maxBufferLength: 6, maxMaxBufferLength: 6, maxBufferSize: 0 }

const DIAGNOSIS_TIMEOUT_MS = 5_000

/**
 * Returns true if the page can load a URL. Only a player that is configured for the CDN can resolve a relative URL.
 * @param {string} url
 */
export function isAbsoluteUrl(url) {
  return /^https?:\/\//i.test(url) && URL.canParse(url)
}

/**
 * Loads and starts a video. Aborting the signal unloads the video.
 * @param {HTMLVideoElement} video
 * @param {string} url
 * @param {Options} options `from` is in seconds
 */
export async function startVideo(video, url, { from, signal, onStarted, onProblem }) {
  const fail = async () => {
    if (signal.aborted) return
    const problem = await diagnose(url)
    if (!signal.aborted) onProblem(problem)
  }
  const type = typeOf(url)
  try {
    if (type === PLAYLIST && hasMediaSource()) await attachHls(video, url, { from, signal, onFailure: fail })
    else if (type && video.canPlayType(type)) attachFile(video, url, { from, signal, onFailure: fail })
    else return onProblem('unsupported')
  } catch {
    // hls.js did not load.
    return onProblem('unreachable')
  }
  const state = await start(video)
  if (state && !signal.aborted) onStarted(state)
}

/** @param {string} url */
function typeOf(url) {
  const [, extension = ''] = /\.(\w+)$/.exec(new URL(url).pathname) ?? []
  return types[extension.toLowerCase()]
}

/**
 * hls.js needs Media Source Extensions. Browsers without these extensions, such as those on older iPhones, play HLS
 * natively.
 */
function hasMediaSource() {
  return 'MediaSource' in window || 'ManagedMediaSource' in window
}

/** @typedef {Pick<Options, 'from' | 'signal'> & { onFailure: () => Promise<void> }} Attachment */

/**
 * @param {HTMLVideoElement} video
 * @param {string} url
 * @param {Attachment} attachment
 */
async function attachHls(video, url, { from, signal, onFailure }) {
  const { default: Hls } = await import('/console/hls.js')
  if (signal.aborted) return
  const hls = new Hls({ ...HLS_CONFIG, startPosition: from })
  signal.addEventListener('abort', () => hls.destroy())
  let hasFailed = false
  hls.on(Hls.Events.ERROR, (_, { fatal, response: { code = 0 } = {} }) => {
    // After other errors, hls.js retries by itself.
    if (hasFailed || (!fatal && (code < 400 || code > 499))) return
    hasFailed = true
    hls.stopLoad()
    // The video keeps playing until its buffer is empty.
    if (video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA) void onFailure()
    else video.addEventListener('waiting', () => void onFailure(), { once: true, signal })
  })
  hls.loadSource(url)
  hls.attachMedia(video)
}

/**
 * @param {HTMLVideoElement} video
 * @param {string} url
 * @param {Attachment} attachment
 */
function attachFile(video, url, { from, signal, onFailure }) {
  signal.addEventListener('abort', () => {
    video.removeAttribute('src')
    video.load()
  })
  video.addEventListener('error', () => void onFailure(), { signal })
  video.src = url
  video.currentTime = from
}

/**
 * Starts a video, with sound if the browser allows it. Returns undefined if the video cannot be played; in
 * that case, the video also fires an `error` event.
 * @param {HTMLVideoElement} video
 */
async function start(video) {
  for (const state of /** @type {const} */ (['audible', 'muted'])) {
    video.muted = state === 'muted'
    try {
      await video.play()
      return state
    } catch (error) {
      const name = error instanceof DOMException ? error.name : ''
      // The user paused the video before it could play.
      if (name === 'AbortError') return 'paused'
      if (name !== 'NotAllowedError') return undefined
    }
  }
  return 'paused'
}

/**
 * Requests the video again to find out why it does not play, because players do not report the reason.
 * @param {string} url
 * @returns {Promise<Problem>}
 */
async function diagnose(url) {
  try {
    const signal = AbortSignal.timeout(DIAGNOSIS_TIMEOUT_MS)
    const response = await fetch(url, { headers: { range: 'bytes=0-0' }, cache: 'no-store', signal })
    await response.body?.cancel()
    return toProblem(response.status)
  } catch {
    return 'unreachable'
  }
}

/**
 * @param {number} status
 * @returns {Problem}
 */
function toProblem(status) {
  if (status === 410) return 'expired'
  if (status === 401 || status === 403) return 'rejected'
  if (status === 404) return 'missing'
  return status < 300 ? 'unsupported' : 'unreachable'
}
