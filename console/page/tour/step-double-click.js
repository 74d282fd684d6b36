/** @typedef {import('../../../shared/contracts/view-explanation.ts').ExplainedView} ExplainedView */

/** @type {import('./runner.js').Step<{ statuses: number[], first: ExplainedView, second: ExplainedView, views: number }>} */
export const doubleClick = {
  id: 'double-click',
  title: 'A double click',
  minutes: '30 s',
  action: 'Double-click',
  intro: [
    'The same viewer plays the same film twice within a second. Both plays get a 200.',
    'The log keeps both plays. The view rules decide whether each of them qualifies, and give the reason.',
  ],
  command: 'for n in 1 2; do curl -X POST {edge}/play/asset/456/user/8; done',
  predict: {
    question: "What are this viewer's counts afterwards?",
    options: [
      {
        text: '1 view, 1 qualified',
        reason:
          'Every play that gets a 200 is a view, and no view is dropped silently. Qualified views are counted separately, and each verdict has a reason.',
      },
      {
        text: '2 views, 1 qualified',
        isRight: true,
        reason:
          'Both plays are views. The second play is a repeat within 30 s, so it does not qualify, as under the double-click rule in COUNTER 5.1.',
      },
      {
        text: '2 views, 2 qualified',
        reason:
          'The second play follows within 30 s, so the rule “repeat” filters it out, as COUNTER 5.1 does with double clicks.',
      },
    ],
  },
  async run({ play, explain, untilCounted, until, note, user }) {
    const viewOf = (/** @type {{ viewId: string | null }} */ { viewId }) =>
      until('there is no verdict yet', async () => {
        const view = await explain(viewId ?? '')
        return view?.state === 'counted' && view
      })
    const [firstPlay, secondPlay] = [await play(user), await play(user)]
    const statuses = [firstPlay.status, secondPlay.status]
    note(`Two plays, with status ${statuses.join(' and ')}`)
    const views = await untilCounted(user)
    const [first, second] = await Promise.all([viewOf(firstPlay), viewOf(secondPlay)])
    note(`First play: ${first.summary}`)
    note(`Second play: ${second.summary}`)
    return { statuses, first, second, views }
  },
  check({ statuses, first, second, views }) {
    const isRepeat = second.verdict === 'not-qualified' && second.reason === 'repeat' && second.because?.id === first.id
    const ok = statuses.every((status) => status === 200) && views === 2 && first.reason !== 'repeat' && isRepeat
    return {
      ok,
      sentence: ok
        ? 'Both plays are views, and the second one does not qualify: it repeats the first one.'
        : `There are ${views} views, and the second play is ${second.verdict} (${second.reason ?? 'no reason'}).`,
      facts: [
        ['First play', `${first.verdict}`],
        ['Second play', `${second.verdict} (${second.reason ?? 'no reason'})`],
        ['Views by this user', String(views)],
      ],
    }
  },
}
