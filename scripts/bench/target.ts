/** Something that serves plays, and the processes behind it, keyed by their column in the table. */
export type Target = { name: string; url: string; pids: Record<string, number> }
