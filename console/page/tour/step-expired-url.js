import { SkippedError } from './runner.js'

/** The first film of `npm run seed`. */
const FILM = 'trip-to-the-moon-1902'

/** @type {import('./runner.js').Step<{ before: number, expired: number, again: number, isSameView: boolean, views: number }>} */
export const expiredUrl = {
  id: 'expired-url',
  title: 'An expired URL',
  minutes: '30 s',
  action: 'Let it expire',
  intro: [
    'The URL of a video is signed, and valid for some hours. This one expires while somebody watches: the CDN refuses the next segment.',
    'The player sends the play again, with the same Idempotency-Key.',
  ],
  predict: {
    question: 'What does the viewer get?',
    options: [
      {
        text: 'A new URL, and another view is counted.',
        reason: 'The same key is the same view, so a player may renew its URL as often as it has to.',
      },
      {
        text: 'The same URL, which has expired.',
        reason:
          'Only the view is remembered, not the response. Each response has a URL that is valid for the full time.',
      },
      {
        text: 'A new URL, and the view is counted once.',
        isRight: true,
        reason: 'A retry with the same key is the same view, and its response has a new URL.',
      },
    ],
  },
  needs: ['expire', 'seed'],
  async run({ play, control, until, untilCounted, note, user }) {
    const first = await playFilm({ play, control, until, note }, user)
    const url = first.playback?.url ?? ''
    if (!/^https?:/.test(url)) throw new SkippedError('The edge signs no URLs here, so none can expire.')
    const { status, statusBefore } = await control(`expire?url=${encodeURIComponent(url)}`)
    note(`The CDN answers ${statusBefore} for the URL of the play, and ${status} for the same URL once it has expired`)
    const retried = await play(user, { asset: FILM, key: first.key })
    const { statusBefore: again } = await control(`expire?url=${encodeURIComponent(retried.playback?.url ?? '')}`)
    note(`Played again with the same key: the CDN answers ${again} for the URL in the response`)
    const isSameView = first.viewId === retried.viewId
    return { before: statusBefore, expired: status, again, isSameView, views: await untilCounted(user) }
  },
  check({ before, expired, again, isSameView, views }) {
    const ok = before === 200 && expired === 410 && again === 200 && isSameView && views === 1
    return {
      ok,
      sentence: ok
        ? 'The expired URL was refused with 410. The retry got a valid one, and it is the same view, counted once.'
        : `The CDN answered ${before}, ${expired} and ${again} instead of 200, 410 and 200, and ${views} views are counted.`,
      facts: [
        ['Signed URL', `${before}`],
        ['Once it has expired', `${expired}`],
        ['URL of the retry', `${again}`],
        ['View id of the retry', isSameView ? 'the same' : 'another one'],
        ['Views of this user', String(views)],
      ],
    }
  },
}

/**
 * Plays a film with a clip, and adds the films first if they are missing.
 * @param {Pick<import('./driver.js').Driver, 'play' | 'control' | 'until' | 'note'>} driver
 * @param {string} user
 */
async function playFilm({ play, control, until, note }, user) {
  const first = await play(user, { asset: FILM })
  if (first.status !== 404) return first
  await control('seed')
  note('npm run seed adds the films')
  return until('the films are not there', async () => {
    const played = await play(user, { asset: FILM })
    return played.status === 200 && played
  })
}
