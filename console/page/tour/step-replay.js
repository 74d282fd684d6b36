import { SkippedError } from './runner.js'

/** @type {import('./runner.js').Step<{ before: number, after: number, users: number, wrong: number }>} */
export const replay = {
  id: 'replay',
  title: 'Replay everything',
  minutes: '45 s',
  action: 'Throw the counts away',
  intro: [
    'The counts are thrown away: reporting starts without its checkpoint, and reads the log again from the first message.',
    'The log delivers every view a second time.',
  ],
  command: 'rm data/checkpoint-reporting.bin   # with reporting stopped',
  predict: {
    question: 'What are the counts after the replay?',
    options: [
      {
        text: 'Twice as high.',
        reason:
          'Counts and position are stored together. Without counts there is no position either, so each view is counted once from the start.',
      },
      {
        text: 'Exactly as before.',
        isRight: true,
        reason:
          'Counts are a projection of the log: the same log gives the same counts and the same verdicts, whenever it is read.',
      },
      {
        text: 'Lower: views from before the restart are gone.',
        reason:
          'The views are in the log, not in reporting. What reporting knows, it can always derive from the log again.',
      },
    ],
  },
  needs: ['replay'],
  kills: ['reporting'],
  async run({ ledger, play, control, controls, viewsOf, status, until, untilReady, untilCounted, note, user }) {
    await play(user)
    await play(user)
    await untilCounted(user)
    const { audit } = await untilReady()
    if (!audit) throw new Error('There is no audit.')
    if (audit.direct > 0)
      throw new SkippedError(`${audit.direct} views were counted without the log, and would not survive a replay.`)
    note(`Before: ${audit.views} views in all`)
    const { starts } = await processOf(controls)
    await control('reporting/replay')
    await until('reporting does not start', async () => (await processOf(controls)).starts > starts)
    note('reporting has started without its counts, and replays the log')
    await until(
      'the counts are not current',
      async () => (await status())?.parts.reporting?.counting?.state === 'current',
    )
    const after = (await untilReady()).audit?.views ?? 0
    note(`After: ${after} views in all`)
    const users = ledger.users()
    const counts = await Promise.all(users.map(async (one) => ((await viewsOf(one)) === ledger.of(one).length ? 0 : 1)))
    const wrong = counts.reduce((/** @type {number} */ sum, one) => sum + one, 0)
    return { before: audit.views, after, users: users.length, wrong }
  },
  check({ before, after, users, wrong }) {
    const ok = wrong === 0 && after >= before
    const grown = after > before ? `, and ${after - before} more arrived meanwhile` : ''
    return {
      ok,
      sentence: ok
        ? `After counting the whole log again, all ${before} views are there, once each${grown}.`
        : `There were ${before} views, and there are ${after} after the replay; ${wrong} of ${users} users have other counts.`,
      facts: [
        ['Views before', String(before)],
        ['Views after', String(after)],
        ['Users of this tour with the same count', `${users - wrong} of ${users}`],
      ],
      bars: [{ label: 'after the replay', value: after, of: before }],
    }
  },
  async undo({ control, controls, until }, passed) {
    const { starts, state } = await processOf(controls)
    if (state === 'down') return
    await control(passed ? 'reporting/keep' : 'reporting/restore')
    if (!passed) await until('reporting does not start', async () => (await processOf(controls)).starts > starts)
  },
}

/** @param {import('./driver.js').Driver['controls']} controls */
async function processOf(controls) {
  const found = (await controls()).processes.find(({ name }) => name === 'reporting')
  return found ?? { starts: 0, state: 'down' }
}
