const PREFETCHES = 200

/** @type {import('./runner.js').Step<{ sent: number, answered: number, prefetched: number, status: number, views: number }>} */
export const prefetchFlood = {
  id: 'prefetch',
  title: 'A flood of prefetches',
  minutes: '30 s',
  action: 'Send the prefetches',
  intro: [
    `A browser that expects the viewer to press Play fetches the response in advance, with the header Sec-Purpose: prefetch. This time, ${PREFETCHES} such requests arrive at once.`,
    'Then the viewer actually presses Play, once.',
  ],
  command: "curl -X POST {edge}/play/asset/456/user/8 -H 'Sec-Purpose: prefetch'",
  predict: {
    question: 'How many views are counted?',
    options: [
      {
        text: `${PREFETCHES + 1}`,
        reason: 'Nobody watches a prefetch. It gets a response, but no view is recorded.',
      },
      {
        text: '1',
        isRight: true,
        reason: 'A prefetch gets the same response, but is not recorded. Only the button press is a view.',
      },
      {
        text: '2: the first prefetch, and the play',
        reason: 'No prefetch is a view, not even the first one. Only the button press is recorded.',
      },
    ],
  },
  needs: ['prefetch'],
  async run({ play, control, untilCounted, note, user, asset }) {
    const {
      sent,
      answered,
      views: prefetched,
    } = await control(`prefetch?asset=${asset}&user=${user}&count=${PREFETCHES}`)
    note(`${answered} of ${sent} prefetches got a 200, ${prefetched} of them with a view id`)
    const { status } = await play(user)
    note(`The play got status ${status}`)
    return { sent, answered, prefetched, status, views: await untilCounted(user) }
  },
  check({ sent, answered, prefetched, status, views }) {
    const ok = answered > 0 && prefetched === 0 && status === 200 && views === 1
    return {
      ok,
      sentence: ok
        ? `${answered} prefetches and one play resulted in one view.`
        : `${answered} prefetches and one play (status ${status}) resulted in ${views} views, and ${prefetched} prefetches had a view id.`,
      facts: [
        ['Prefetches answered 200', `${answered} of ${sent}`],
        ['Prefetches with a view id', String(prefetched)],
        ['Views by this user', String(views)],
      ],
      bars: [{ label: 'views', value: views, of: 1 }],
    }
  },
}
