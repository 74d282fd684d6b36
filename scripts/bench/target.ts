/** A system under test, and the ids of its processes, keyed by their column in the table. */
export type Target = { name: string; url: string; pids: Record<string, number[]> }
