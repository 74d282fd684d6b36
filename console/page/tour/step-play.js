/** @type {import('./runner.js').Step<{ status: number, ms: number, state: string, countedAfterMs: number, views: number }>} */
export const onePlay = {
  id: 'play',
  title: 'A play',
  minutes: '30 s',
  action: 'Press Play',
  intro: [
    'A viewer presses Play. The edge (the play service) gathers the title, URL and counts from three services, and records the view.',
    'Nothing is broken yet. Watch when the view is recorded, and when it is counted.',
  ],
  command: 'curl -i -X POST {edge}/play/asset/456/user/8',
  predict: {
    question: 'The response is 200. What is certain at that moment?',
    options: [
      {
        text: 'reporting has already counted the view.',
        reason:
          'The edge does not wait for the count, so a slow or dead counter cannot slow down a play. The count follows a few milliseconds later.',
      },
      {
        text: 'The view is stored in the log, and will be counted.',
        isRight: true,
        reason:
          'The edge responds with 200 only once the log, or its own outbox on disk, has the view. The count is derived from the log a moment later.',
      },
      {
        text: 'Nothing: the view is sent in the background.',
        reason:
          'Many tutorials do it that way, and lose views. Here, a 200 is a promise: the view is on disk before the response is sent.',
      },
    ],
  },
  async run({ play, explain, until, untilCounted, note, user }) {
    const { status, ms, viewId } = await play(user)
    const answeredAt = performance.now()
    note(`Response: ${status || 'none'}, after ${ms} ms. View ID: ${viewId ?? 'none'}`)
    const view = await until('the view has not been counted', async () => {
      const current = await explain(viewId ?? '')
      return current?.state === 'counted' && current
    })
    const countedAfterMs = Math.round(performance.now() - answeredAt)
    note(`Counted ${countedAfterMs} ms later: ${view.summary}`)
    return { status, ms, state: view.state, countedAfterMs, views: await untilCounted(user) }
  },
  check({ status, ms, countedAfterMs, views }) {
    const ok = status === 200 && views === 1
    return {
      ok,
      sentence: ok
        ? 'The view was stored before the response, and counted once, shortly afterwards.'
        : `The play got status ${status}, and was counted ${views} times instead of once.`,
      facts: [
        ['Response', `${status} after ${ms} ms`],
        ['Counted', `${countedAfterMs} ms later`],
        ['Views by this user', String(views)],
      ],
    }
  },
}
