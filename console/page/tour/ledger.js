/** @typedef {import('../../../shared/contracts/view-explanation.ts').ExplainedView} ExplainedView */
/** @typedef {{ viewId: string, user: string, asset: string, key: string, state: ViewState }} Entry */
/** @typedef {'counted' | 'log' | 'outbox' | 'unknown' | 'rejected'} ViewState */
/** @typedef {{ answered: number } & Record<ViewState, number>} Sum */

/** Maximum number of views to look up at once. */
const PARALLEL = 6

/**
 * The tour's views: one for each play that got a 200, by view id. A retry has the original play's view id, so it adds
 * no view. Each view is in exactly one place: `answered = counted + outbox + log`, and nothing is rejected. While
 * reporting is down, a view's place may be unknown.
 * @param {(viewId: string) => Promise<ExplainedView | undefined>} explain
 */
export function createLedger(explain) {
  /** @type {Map<string, Entry>} */
  const entries = new Map()
  /** @type {Promise<void> | undefined} */
  let refreshing

  /** @param {Entry} entry */
  async function lookUp(entry) {
    entry.state = (await explain(entry.viewId))?.state ?? 'unknown'
  }

  async function refreshAll() {
    const open = [...entries.values()].filter(({ state }) => state !== 'counted')
    for (let first = 0; first < open.length; first += PARALLEL) {
      await Promise.all(open.slice(first, first + PARALLEL).map(lookUp))
    }
  }

  return {
    /** @param {Omit<Entry, 'state'>} view */
    add(view) {
      if (!entries.has(view.viewId)) entries.set(view.viewId, { ...view, state: 'unknown' })
    },
    /** Looks up each view that is not yet known to be counted. */
    async refresh() {
      refreshing ??= refreshAll().finally(() => {
        refreshing = undefined
      })
      await refreshing
    },
    /** @param {string} user */
    of: (user) => [...entries.values()].filter((entry) => entry.user === user),
    users: () => [...new Set([...entries.values()].map(({ user }) => user))],
    /** @returns {Sum} */
    sum() {
      const sum = { answered: entries.size, counted: 0, log: 0, outbox: 0, unknown: 0, rejected: 0 }
      for (const { state } of entries.values()) sum[state] += 1
      return sum
    },
  }
}

/**
 * The sum as one line of text.
 * @param {Sum} sum
 */
export function toIdentity({ answered, counted, log, outbox, unknown, rejected }) {
  const others = [
    ...(unknown > 0 ? [`${unknown} unknown while reporting is down`] : []),
    ...(rejected > 0 ? [`${rejected} rejected`] : []),
  ]
  const waiting = `${log + outbox} waiting${log + outbox > 0 ? ` (${log} in the log, ${outbox} in the outbox)` : ''}`
  return [`${answered} answered 200 = ${counted} counted + ${waiting}`, ...others].join(' + ')
}
