/** Something that answers plays, and the processes that work for it, by the name of their column. */
export type Target = { name: string; url: string; pids: Record<string, number> }
