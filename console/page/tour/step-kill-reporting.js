const PLAYS = 5

/** @type {import('./runner.js').Step<{ statuses: number[], withoutCounts: number, views: number, ms: number }>} */
export const killReporting = {
  id: 'kill-reporting',
  title: 'Kill reporting',
  minutes: '45 s',
  action: 'Kill reporting',
  intro: [
    'reporting counts the views. It is killed with kill -9, in the middle of its work, and stays down for a few seconds.',
    `Meanwhile, a viewer presses Play ${PLAYS} times.`,
  ],
  command: 'kill -9 {reporting}',
  predict: {
    question: 'What does the viewer get, and what becomes of these views?',
    options: [
      {
        text: 'Errors: without reporting, nothing can be played.',
        reason:
          'No single service can prevent a play, except the edge itself. Missing data is left out: the counts are null, and degraded lists reporting.',
      },
      {
        text: 'Videos, and the views are lost.',
        reason:
          'The views go to the log, not to reporting. Once reporting is back, it continues from the position that it stored with its counts.',
      },
      {
        text: 'Videos without counts, and the views are counted later.',
        isRight: true,
        reason:
          'The log has the views. reporting stores its counts together with its position in the log, and counts the rest when it is back.',
      },
    ],
  },
  needs: ['kill'],
  kills: ['reporting'],
  async run({ play, controlAll, untilState, untilReady, untilCounted, note, user, outageSeconds }) {
    const before = await play(user)
    note(`Before: status ${before.status}, views by this user: ${before.playback?.userviews ?? 'unknown'}`)
    await controlAll('reporting', `kill?seconds=${outageSeconds}`)
    const killedAt = performance.now()
    await untilState('reporting', 'down')
    note('reporting is down')
    const during = []
    for (let n = 0; n < PLAYS; n += 1) during.push(await play(user))
    const withoutCounts = during.filter(({ playback }) => playback?.userviews === null).length
    note(`${PLAYS} plays got ${list(during)}, ${withoutCounts} of them without counts`)
    await untilReady()
    const ms = Math.round(performance.now() - killedAt)
    note(`reporting is back ${(ms / 1_000).toFixed(1)} s after the kill, and has caught up with the log`)
    const statuses = [before, ...during].map(({ status }) => status)
    return { statuses, withoutCounts, views: await untilCounted(user), ms }
  },
  check({ statuses, withoutCounts, views, ms }) {
    const answered = statuses.filter((status) => status === 200).length
    const ok = answered === PLAYS + 1 && views === answered
    return {
      ok,
      sentence: ok
        ? `All ${answered} plays got a 200, and each was counted once, although reporting was down for ${withoutCounts} of them.`
        : `${answered} plays got a 200, but ${views} views were counted.`,
      facts: [
        ['Answered 200', `${answered} of ${PLAYS + 1}`],
        ['Without counts', `${withoutCounts}`],
        ['Caught up', `${(ms / 1_000).toFixed(1)} s after the kill`],
        ['Counted', `${views}`],
      ],
      bars: [{ label: 'counted', value: views, of: answered }],
    }
  },
  undo: ({ untilRunning }) => untilRunning('reporting'),
}

/** @param {{ status: number }[]} plays */
function list(plays) {
  return [...new Set(plays.map(({ status }) => status || 'nothing'))].join(', ')
}
