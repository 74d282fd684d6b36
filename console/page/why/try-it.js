import { byId, element } from '../dom.js'
import { createKey } from '../playback/idempotency-key.js'
import { postPlay } from '../playback/post-play.js'

/** @typedef {import('../plays/plays.js').PlayResult} Played `status` is 0 if the edge is unreachable */
/** @typedef {(play: { asset?: number, key?: string }) => Promise<Played>} Play `asset` is an index into the catalogue */
/** @typedef {import('../token.js').Token} Token */
/** @typedef {ReturnType<typeof import('./why.js').createWhy>} Why */
/**
 * `run` sends the plays, and returns the result of the play to explain, with a note. Without `run`, the user has to
 * cause the outcome.
 * @typedef {{
 *   name: string, how: string, code?: string, button?: string,
 *   run?: (play: Play) => Promise<Played & { note?: string }>,
 * }} Example
 */

/** @type {Example[]} */
const examples = [
  {
    name: 'qualified',
    how: 'A user plays an asset for the first time.',
    button: 'Play once',
    run: (play) => play({}),
  },
  {
    name: 'repeat',
    how: 'The same user plays the same asset again within 30 s.',
    button: 'Play twice',
    async run(play) {
      await play({})
      return play({})
    },
  },
  {
    name: 'retried',
    how: 'A client does not receive the response, and sends the same Idempotency-Key again.',
    button: 'Send the same key twice',
    async run(play) {
      const key = createKey()
      const first = await play({ key })
      const second = await play({ key })
      const isRetry = first.viewId !== null && first.viewId === second.viewId
      return { ...second, ...(isRetry && { note: RETRIED }) }
    },
  },
  {
    name: 'key-reused',
    how: 'A client uses one key for two different plays.',
    button: 'Reuse a key',
    async run(play) {
      const key = createKey()
      const first = await play({ key })
      const { status } = await play({ key, asset: 1 })
      return { ...first, ...(status === 422 && { note: REUSED }) }
    },
  },
  { name: 'outbox', how: 'Stop the NATS server, and play an asset. Embedded mode has no outbox.' },
  { name: 'log', how: 'Stop queue-listener or reporting, and play an asset.' },
  {
    name: 'dead-letter',
    how: 'Publish a message that is not a valid batch of views, and look up its event id, broken-view:',
    code: `nats pub events.view.demo '{"id":"broken-view"}'`,
  },
]

const RETRIED =
  'Both responses had the same view ID: the second request is a retry, not another view. The view is counted once.'
const REUSED = 'The second play was rejected with status 422, so it is not a view. This is the first play:'

/**
 * A list that says how to cause each outcome, with a button if the page can cause the outcome by sending plays. Without
 * a token, each example plays as a new user, so that earlier plays do not matter. With a token, each example plays as
 * the token's user.
 * @param {{ assetIds: () => string[], token: Token, plays: import('../plays/plays.js').Plays, why: Why }} deps
 */
export function createExamples({ assetIds, token, plays, why }) {
  /** @param {NonNullable<Example['run']>} run */
  async function show(run) {
    const ids = assetIds()
    if (ids.length === 0) return why.showNote('The catalogue is empty: there is nothing to play.')
    const user = token.user() ?? `try-${Math.floor(Math.random() * 900_000) + 100_000}`
    why.showNote(`Playing as ${user}…`)
    const { status, viewId, note } = await run(async ({ asset = 0, key }) => {
      const assetId = ids[asset] ?? ids[0] ?? ''
      const listed = plays.start({ assetId, userId: user })
      const keyed = key === undefined ? {} : { 'idempotency-key': key }
      const headers = { ...token.headers(), ...keyed, ...listed.headers }
      const played = await postPlay(`/play/asset/${assetId}/user/${user}`, headers)
      listed.finish(played)
      return played
    })
    if (viewId === null) why.showNote(toFailure(status))
    else why.explain(viewId, note)
  }

  const items = examples.map(({ name, how, code, button, run }) =>
    element(
      'li',
      {},
      element('b', {}, name),
      element('span', {}, how),
      code === undefined ? undefined : element('code', {}, code),
      run && element('button', { type: 'button', class: 'secondary', onclick: () => show(run) }, button ?? ''),
    ),
  )
  byId('examples', HTMLElement).replaceChildren(...items)
}

/** @param {number} status */
function toFailure(status) {
  if (status === 0) return 'The play failed: the edge is unreachable.'
  if (status === 401) return 'The play failed: this edge needs a valid token. Paste yours at the top of the page.'
  return `The play failed: the edge returned ${status}.`
}
