/** A page of entries, ordered by id. `next` is the `after` for the next page, or undefined on the last page. */
type Page<Value> = { entries: [id: string, value: Value][]; next: string | undefined }

/** A map from ids to values. Reads are synchronous; a write resolves once it is stored. */
export type Store<Value> = {
  get(id: string): Value | undefined
  set(id: string, value: Value): Promise<void>
  /** Resolves to true if the entry existed. */
  delete(id: string): Promise<boolean>
  /** The first `limit` entries after the id `after`, in UTF-16 code unit order. */
  list(range: { limit: number; after?: string | undefined }): Page<Value>
}
