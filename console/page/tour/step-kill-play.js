import { processesOf } from './runner.js'

/** Browsers open at most six connections per host, and the kill and the status need one each. */
const PLAYS = 3
const HANG_SECONDS = 2

/** @type {import('./runner.js').Step<{ cutOff: number, answered: number, views: number }>} */
export const killPlay = {
  id: 'kill-play',
  title: 'Kill the edge in the middle of a request',
  minutes: '45 s',
  action: 'Kill the edge',
  intro: [
    `${PLAYS} plays arrive at the edge. While they wait for the log, the edge is killed with kill -9.`,
    'The players get no response, so they cannot know whether their view was recorded. They do what a good player does: they send the play again, with the same Idempotency-Key.',
  ],
  command: 'kill -9 {play}',
  predict: {
    question: `How many views are counted for these ${PLAYS} plays, each sent twice?`,
    options: [
      {
        text: `${PLAYS}`,
        isRight: true,
        reason:
          'The view id is derived from the user and the key, so the retry is the same event, whether or not the log stored the first one.',
      },
      {
        text: `Up to ${2 * PLAYS}: each view that was stored before the kill counts twice`,
        reason:
          'A retry with the same Idempotency-Key gets the same view id, and reporting counts each id once, whatever reached the log before the kill.',
      },
      {
        text: 'Fewer: views in flight are lost',
        reason:
          'A play without a response was never acknowledged, and its retry records the view. The view of a play that got a 200 was already on disk.',
      },
    ],
  },
  needs: ['kill', 'hang', 'continue'],
  kills: ['play'],
  async run(stage) {
    const { play, control, controls, untilRunning, untilReady, untilCounted, note, user } = stage
    const { processes } = await controls()
    // NATS is suspended only if npm start runs it. Otherwise, the plays are faster, and fewer of them are cut off.
    const nats = processesOf(processes, 'nats')
    const edges = processesOf(processes, 'play')
    await Promise.all(nats.map(({ name }) => control(`${name}/hang?seconds=${HANG_SECONDS}`)))
    if (nats.length > 0) note('NATS is suspended, so that plays wait for the log')
    const sent = Array.from({ length: PLAYS }, () => play(user))
    // Kill all processes at once, because a play waits for the log for only 0.3 s. The process that forwards a kill may
    // itself be killed before it returns the response.
    await Promise.allSettled(edges.map(({ name }) => control(`${name}/kill`)))
    const first = await Promise.all(sent)
    const cutOff = first.filter(({ status }) => status !== 200)
    note(`The edge is down. ${cutOff.length} of ${PLAYS} plays got no response`)
    await untilRunning('play')
    await untilReady()
    note('npm start has restarted the edge')
    const again = await Promise.all(first.map(({ key }) => play(user, { key })))
    note(`Sent again with the same keys: ${again.map(({ status }) => status).join(', ')}`)
    const answered = again.filter(({ status }) => status === 200).length
    return { cutOff: cutOff.length, answered, views: await untilCounted(user) }
  },
  check({ cutOff, answered, views }) {
    const ok = answered === PLAYS && views === PLAYS
    return {
      ok,
      sentence: ok
        ? `${toCause(cutOff)} All were sent again, and each was counted once.`
        : `${answered} of ${PLAYS} plays got a 200 in the end, but ${views} views were counted.`,
      facts: [
        ['Cut off', `${cutOff} of ${PLAYS}`],
        ['Sent', `${2 * PLAYS} requests`],
        ['Counted', String(views)],
      ],
      bars: [{ label: 'counted', value: views, of: PLAYS }],
    }
  },
  async undo({ controls, control, untilRunning }) {
    await untilRunning('play')
    const { processes } = await controls()
    const hung = processes.filter(({ state }) => state === 'hung')
    await Promise.all(hung.map(({ name }) => control(`${name}/continue`)))
  },
}

/** @param {number} cutOff */
function toCause(cutOff) {
  if (cutOff === 0)
    return 'The edge responded before it was killed; run the step again to kill it in the middle of a request.'
  return `${cutOff} of ${PLAYS} plays were cut off by the kill.`
}
