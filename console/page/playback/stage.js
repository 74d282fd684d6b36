import { byId, element } from '../dom.js'
import { startVideo } from './video.js'

/** @typedef {import('./video.js').Problem} Problem */

/** @type {Record<Problem, (host: string) => string>} */
const problemTexts = {
  expired: () => 'The link to this video has expired.',
  rejected: (host) => `The CDN at ${host} rejects the link to this video.`,
  missing: (host) => `The CDN at ${host} does not have this video.`,
  unreachable: (host) => `The video cannot be loaded: ${host} is unreachable, or rejects requests from this page.`,
  unsupported: () => 'This browser cannot play this video.',
}

/**
 * The video of the last play. If it does not play, a notice over it says why.
 * @param {{ onRetry: () => Promise<void> }} deps `onRetry` plays the asset again, as the same view
 */
export function createStage({ onRetry }) {
  const stage = byId('stage', HTMLElement)
  let shown = new AbortController()

  function close() {
    shown.abort()
    stage.hidden = true
    stage.replaceChildren()
  }

  /** @param {(Node | string)[]} content */
  function notify(...content) {
    stage.querySelector('.stage-notice')?.remove()
    if (content.length > 0) stage.append(element('div', { class: 'stage-notice', role: 'alert' }, ...content))
  }

  /**
   * @param {Problem} problem
   * @param {string} url
   */
  function showProblem(problem, url) {
    const text = element('p', {}, problemTexts[problem](new URL(url).host))
    if (problem === 'unsupported') return notify(text)
    notify(
      text,
      element('p', { class: 'stage-hint' }, 'Playing the video again is not counted as another view.'),
      createButton('Play again', onRetry),
    )
  }

  return {
    /**
     * Resolves once the video plays, cannot be played, or is closed.
     * @param {{
     *   url: string, title: string, from: number, onVideo: (video: HTMLVideoElement, signal: AbortSignal) => void,
     * }} video `from` is in seconds; `onVideo` may follow the video until the signal is aborted
     * @returns {Promise<void>}
     */
    show({ url, title, from, onVideo }) {
      const hadFocus = stage.contains(document.activeElement)
      close()
      shown = new AbortController()
      const { signal } = shown
      const video = element('video', { controls: true, playsInline: true, crossOrigin: 'anonymous' })
      video.ariaLabel = `Video of ${title}`
      stage.append(video)
      stage.hidden = false
      if (hadFocus) video.focus()
      onVideo(video, signal)
      return new Promise((settle) => {
        signal.addEventListener('abort', () => settle())
        void startVideo(video, url, {
          from,
          signal,
          onStarted(state) {
            if (state === 'muted') notify(createUnmuteButton(video, () => notify()))
            settle()
          },
          onProblem(problem) {
            showProblem(problem, url)
            settle()
          },
        })
      })
    },
    close,
    /** The playback position, in seconds. */
    position: () => stage.querySelector('video')?.currentTime ?? 0,
  }
}

/**
 * @param {HTMLVideoElement} video
 * @param {() => void} onDone
 */
function createUnmuteButton(video, onDone) {
  return createButton('Turn on the sound', () => {
    video.muted = false
    video.focus()
    onDone()
  })
}

/**
 * @param {string} text
 * @param {() => unknown} onclick
 */
function createButton(text, onclick) {
  return element('button', { type: 'button', class: 'stage-button', onclick }, text)
}
