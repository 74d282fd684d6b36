/** A part of a store's entries, by id. `next` is the `after` of the next part, if there is one. */
export type Page<Value> = { entries: [id: string, value: Value][]; next: string | undefined }

/** A map from ids to values. Reading never waits; a write resolves when it is kept. */
export type Store<Value> = {
  get(id: string): Value | undefined
  set(id: string, value: Value): Promise<void>
  /** Resolves to whether there was such an entry. */
  delete(id: string): Promise<boolean>
  /** The first `limit` entries whose id comes after `after`, in the order of their UTF-16 code units. */
  list(range: { limit: number; after?: string | undefined }): Page<Value>
}
