/** @typedef {{ viewId: string, assetId: string, userId: string }} View */

/** How often the watch time is reported while a video plays. */
const INTERVAL_S = 10
/** Between two `timeupdate` events, a video advances by less than this. A larger advance is a seek. */
const MAX_ADVANCE_S = 2

/**
 * Reports how long views are watched, to `POST /play/watched/:viewId`. Each report contains the total so far, so
 * a failed report needs no retry.
 * @param {{ token: import('../token.js').Token }} deps
 */
export function createWatchReports({ token }) {
  /**
   * How many seconds of each view have been watched. Playing again after the link has expired continues the same view.
   * @type {Map<string, number>}
   */
  const secondsWatched = new Map()

  /**
   * @param {View} view
   * @param {number} seconds
   */
  function send({ viewId, assetId, userId }, seconds) {
    const body = JSON.stringify({ assetId, userId, seconds: Math.round(seconds * 1_000) / 1_000 })
    const headers = { 'content-type': 'application/json', ...token.headers() }
    // Set `keepalive`, because the page may be closed before the response arrives.
    const options = { method: 'POST', headers, body, keepalive: true }
    fetch(`/play/watched/${encodeURIComponent(viewId)}`, options).catch(() => {})
  }

  return {
    /**
     * Reports how long a view is watched, until the signal is aborted.
     * @param {HTMLVideoElement} video
     * @param {View} view
     * @param {AbortSignal} signal
     */
    follow(video, view, signal) {
      let position = video.currentTime
      let sent = secondsWatched.get(view.viewId) ?? 0

      function advance() {
        const advanced = video.currentTime - position
        position = video.currentTime
        if (advanced <= 0 || advanced > MAX_ADVANCE_S || video.seeking) return
        secondsWatched.set(view.viewId, (secondsWatched.get(view.viewId) ?? 0) + advanced)
      }

      function onTimeUpdate() {
        advance()
        report(INTERVAL_S)
      }

      /**
       * @param {number} minimum no report is sent until this many more seconds have been watched
       */
      function report(minimum) {
        const seconds = secondsWatched.get(view.viewId) ?? 0
        if (seconds <= sent || seconds - sent < minimum) return
        sent = seconds
        send(view, seconds)
      }

      video.addEventListener('timeupdate', onTimeUpdate, { signal })
      for (const event of ['pause', 'ended']) video.addEventListener(event, () => report(0), { signal })
      addEventListener('pagehide', () => report(0), { signal })
      signal.addEventListener('abort', () => report(0))
    },
  }
}
