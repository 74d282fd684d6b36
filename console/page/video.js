import { element } from './dom.js'

/** @type {Record<string, string>} */
const types = { mp4: 'video/mp4', m4v: 'video/mp4', webm: 'video/webm', ogv: 'video/ogg', mov: 'video/quicktime' }

/**
 * A player for an address that is a video which this browser can play. A relative path is none: only the player's own
 * CDN knows what it is relative to.
 * @param {string} url
 */
export function createVideo(url) {
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) return undefined
  const [, extension = ''] = /\.(\w+)$/.exec(new URL(url).pathname) ?? []
  const type = types[extension.toLowerCase()]
  const video = element('video', { controls: true, preload: 'none', ariaLabel: 'Video' })
  if (!type || !video.canPlayType(type)) return undefined
  video.src = url
  return video
}
