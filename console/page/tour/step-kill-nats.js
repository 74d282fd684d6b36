/** Number of plays in each phase: before, during and after the outage. */
const PLAYS = 4

/** @type {import('./runner.js').Step<{ answered: number, degraded: number, views: number, naive: number, published: number }>} */
export const killNats = {
  id: 'kill-nats',
  title: 'Kill NATS, next to a naive counter',
  minutes: '60 s',
  action: 'Kill NATS',
  intro: [
    'NATS stores the log of all views. It is killed while viewers press Play.',
    'A naive counter, as in many tutorials, runs next to this system: its edge publishes each view with core NATS (fire and forget), and a subscriber counts what arrives. Both systems get the same plays.',
  ],
  command: 'kill -9 {nats}',
  predict: {
    question: `${PLAYS} plays before the outage, ${PLAYS} during it, ${PLAYS} after it. Which system counts all ${3 * PLAYS}?`,
    options: [
      {
        text: 'Both: once NATS is back, it delivers what was published during the outage.',
        reason:
          'Core NATS delivers only to subscribers that are connected at that moment. A view that is published while the server is down is not stored anywhere.',
      },
      {
        text: 'Only this system.',
        isRight: true,
        reason:
          'The edge waits for an acknowledgement from the log. Without one, it writes the view to its outbox on disk before it responds, and appends the view to the log later. The naive edge keeps no copy.',
      },
      {
        text: 'Neither: both need NATS.',
        reason:
          "This system's edge has an outbox on its disk. A play gets a 200 once the view is in the log or in the outbox.",
      },
    ],
  },
  needs: ['naive'],
  kills: ['nats'],
  async run(stage) {
    const { play, control, controlAll, until, untilState, untilCounted, note, user, outageSeconds } = stage
    const naive = (/** @type {number} */ views) => control(`naive?run=${user}&views=${views}`)
    /** Sends each play to this system and to the naive counter. */
    const playBoth = async () => {
      const plays = []
      for (let n = 0; n < PLAYS; n += 1) {
        const [ours] = await Promise.all([play(user), naive(1)])
        plays.push(ours)
      }
      return plays
    }
    const before = await playBoth()
    await until('the naive counter has not counted all plays', async () => (await naive(0)).counted === PLAYS)
    note(`Before the outage: ${PLAYS} plays, and the naive counter has counted ${PLAYS}`)
    await controlAll('nats', `kill?seconds=${outageSeconds}`)
    await untilState('events', 'down')
    note('NATS is down')
    const during = await playBoth()
    const degraded = during.filter(({ playback }) => playback?.degraded?.includes('events')).length
    note(`During the outage: ${count200(during)} of ${PLAYS} plays got a 200, and ${degraded} views are in the outbox`)
    await untilState('events', 'up')
    await until('the naive counter has not reconnected', async () => (await naive(0)).connected)
    note('NATS is back')
    const after = await playBoth()
    const views = await untilCounted(user)
    const { published, counted } = await naive(0)
    note(`This system has counted ${views}, the naive counter ${counted} of ${published}`)
    return { answered: count200([...before, ...during, ...after]), degraded, views, naive: counted, published }
  },
  check({ answered, degraded, views, naive, published }) {
    const ok = answered === 3 * PLAYS && views === answered
    const drift = published - naive
    return {
      ok,
      sentence: ok
        ? `This system counted all ${answered} plays; ${degraded} of them waited in the outbox. The naive counter drifted by ${drift}, and cannot detect the drift.`
        : `${answered} plays got a 200, but ${views} views were counted.`,
      facts: [
        ['Answered 200', `${answered} of ${3 * PLAYS}`],
        ['In the outbox during the outage', String(degraded)],
        ["This system's drift", String(answered - views)],
        ["The naive counter's drift", String(drift)],
      ],
      bars: [
        { label: 'this system', value: views, of: answered },
        { label: 'naive counter', value: naive, of: published },
      ],
    }
  },
  undo: ({ untilRunning }) => untilRunning('nats'),
}

/** @param {{ status: number }[]} plays */
function count200(plays) {
  return plays.filter(({ status }) => status === 200).length
}
