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
    "A video's URL is signed, and valid for a few hours. In this step, the URL expires while somebody is watching, so the CDN refuses the next segment.",
    'The player retries the play, with the same Idempotency-Key.',
  ],
  predict: {
    question: 'What does the viewer get?',
    options: [
      {
        text: 'A new URL, and another view is counted.',
        reason: 'The same key means the same view, so a player may renew its URL as often as necessary.',
      },
      {
        text: 'The same URL, which has expired.',
        reason:
          'The edge stores the view, but not the response. The URL in each response is valid for the full period.',
      },
      {
        text: 'A new URL, and the view is counted once.',
        isRight: true,
        reason: 'A retry with the same key is the same view, but its response has a new URL.',
      },
    ],
  },
  needs: ['expire', 'seed'],
  async run({ play, control, until, untilCounted, note, user }) {
    const first = await playFilm({ play, control, until, note }, user)
    const url = first.playback?.url ?? ''
    if (!/^https?:/.test(url)) throw new SkippedError('The edge signs no URLs here, so none can expire.')
    const { status, statusBefore } = await control(`expire?url=${encodeURIComponent(url)}`)
    note(`The CDN returns ${statusBefore} for the play's URL, and ${status} for the same URL once it has expired`)
    const retried = await play(user, { asset: FILM, key: first.key })
    const { statusBefore: again } = await control(`expire?url=${encodeURIComponent(retried.playback?.url ?? '')}`)
    note(`Played again with the same key: the CDN returns ${again} for the URL in the new response`)
    const isSameView = first.viewId === retried.viewId
    return { before: statusBefore, expired: status, again, isSameView, views: await untilCounted(user) }
  },
  check({ before, expired, again, isSameView, views }) {
    const ok = before === 200 && expired === 410 && again === 200 && isSameView && views === 1
    return {
      ok,
      sentence: ok
        ? 'The CDN refused the expired URL with 410. The retry got a valid URL, and the view is counted once.'
        : `The CDN returned ${before}, ${expired} and ${again} instead of 200, 410 and 200, and ${views} views were counted.`,
      facts: [
        ['Signed URL', `${before}`],
        ['Once it has expired', `${expired}`],
        ["The retry's URL", `${again}`],
        ["The retry's view id", isSameView ? 'the same' : 'a different one'],
        ['Views by this user', String(views)],
      ],
    }
  },
}

/**
 * Plays a film that has a clip, and adds the films first if they are missing.
 * @param {Pick<import('./driver.js').Driver, 'play' | 'control' | 'until' | 'note'>} driver
 * @param {string} user
 */
async function playFilm({ play, control, until, note }, user) {
  const first = await play(user, { asset: FILM })
  if (first.status !== 404) return first
  await control('seed')
  note('npm run seed adds the films')
  return until('the films have not been added', async () => {
    const played = await play(user, { asset: FILM })
    return played.status === 200 && played
  })
}
