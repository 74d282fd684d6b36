import { SkippedError } from './runner.js'

/** @type {import('./runner.js').Step<{ before: number, after: number, users: number, wrong: number }>} */
export const replay = {
  id: 'replay',
  title: 'Replay everything',
  minutes: '45 s',
  action: 'Discard the counts',
  intro: [
    'The counts are discarded: reporting starts without its checkpoint, and reads the log again from the first message.',
    'The log delivers every view a second time.',
  ],
  command: 'rm data/checkpoint-reporting.bin   # with reporting stopped',
  predict: {
    question: 'What are the counts after the replay?',
    options: [
      {
        text: 'Twice as high.',
        reason:
          'Counts and position are stored together. Without the counts, there is no position either, so reporting starts from zero and counts each view once.',
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
          'The views are in the log, not in reporting. reporting can always derive its counts from the log again.',
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
      throw new SkippedError(
        `${audit.direct} views were counted directly, without the log, and would not survive a replay.`,
      )
    note(`Before: ${audit.views} views in total`)
    const { starts } = await processOf(controls)
    await control('reporting/replay')
    await until('reporting has not started', async () => (await processOf(controls)).starts > starts)
    note('reporting has started without its counts, and is replaying the log')
    await until(
      'the counts are not current yet',
      async () => (await status())?.parts.reporting?.counting?.state === 'current',
    )
    const after = (await untilReady()).audit?.views ?? 0
    note(`After: ${after} views in total`)
    const users = ledger.users()
    const counted = await Promise.all(users.map(viewsOf))
    const wrong = users.filter((each, n) => counted[n] !== ledger.of(each).length).length
    return { before: audit.views, after, users: users.length, wrong }
  },
  check({ before, after, users, wrong }) {
    const ok = wrong === 0 && after >= before
    const additional = after > before ? `, and ${after - before} more arrived in the meantime` : ''
    return {
      ok,
      sentence: ok
        ? `After the replay of the whole log, all ${before} views are counted, once each${additional}.`
        : `There were ${before} views, and there are ${after} after the replay; ${wrong} of ${users} users have different counts.`,
      facts: [
        ['Views before', String(before)],
        ['Views after', String(after)],
        ['Users in this tour with the same count', `${users - wrong} of ${users}`],
      ],
      bars: [{ label: 'after the replay', value: after, of: before }],
    }
  },
  async undo({ control, controls, until }, passed) {
    const { starts, state } = await processOf(controls)
    if (state === 'down') return
    await control(passed ? 'reporting/keep' : 'reporting/restore')
    if (!passed) await until('reporting has not started', async () => (await processOf(controls)).starts > starts)
  },
}

/** @param {import('./driver.js').Driver['controls']} controls */
async function processOf(controls) {
  const found = (await controls()).processes.find(({ name }) => name === 'reporting')
  return found ?? { starts: 0, state: 'down' }
}
