/** News that what a service keeps of an asset has changed: replaced, created or deleted. Best effort. */
export type Change = { service: string; id: string }

export type Changes = {
  /** Tells the others. Lost where nobody can be told: who listens also has a time limit on what it keeps. */
  publish(change: Change): void
  /**
   * Listens for what others publish.
   * @param onChange called for each change
   * @param onGap called when changes may have been missed
   */
  subscribe(onChange: (change: Change) => void, onGap: () => void): void
}
