/** A view, as the rules see it. `at` is in milliseconds since 1970. */
export type RuleEvent = { id: string; assetId: string; userId: string; at: number }

/**
 * A rule that decides which views qualify. Its verdict is a pure function of the event and earlier events, so that a
 * replay of the log gives the same verdicts.
 */
export type ViewRule = {
  /** The `reason` of the views that do not qualify because of this rule. */
  name: string
  /** Only events with equal values in these fields affect each other. */
  key: readonly ('assetId' | 'userId')[]
  /** How long an event affects later ones, in milliseconds of the log's clock. */
  windowMs: number
  /** Maximum number of earlier events to keep per key. */
  keeps: number
  /**
   * Returns the earlier event that disqualifies `event`; undefined if `event` qualifies.
   * @param earlier the last events with the same key, in log order, whether they qualify or not
   */
  judge(earlier: readonly RuleEvent[], event: RuleEvent): RuleEvent | undefined
  /** Says why an event does not qualify, for example "the user did this 12 s before". Times are in milliseconds. */
  describe(at: number, because: Pick<RuleEvent, 'at'>): string
}

/** A rule that a view passes only once it has been watched for long enough. Until then, its verdict is `pending`. */
export type WatchRule = {
  /** The `reason` of pending views, and of views that were not watched for long enough. */
  name: string
  /** The `reason` of the views for which no watch time was reported before they closed. */
  unreported: string
  /**
   * Returns the watch time that a view needs to qualify, in whole milliseconds.
   * @param duration the asset's duration in seconds, if it is known
   */
  requiredMs(duration: number | undefined): number
}

export type Rule = ViewRule | WatchRule

export function isWatchRule(rule: Rule): rule is WatchRule {
  return 'requiredMs' in rule
}
