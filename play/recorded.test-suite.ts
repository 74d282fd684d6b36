import type { Recorded } from './spooler.ts'

/** The result of recording the first view of a producer. */
export function recordedIn(place: Recorded['place']): Recorded {
  return { place, producer: 'p', serial: 1 }
}
