import { setChildren } from '../dom.js'
import { createPlayRow } from './play-row.js'

/** @typedef {import('./plays.js').Play} Play */

/**
 * The play rows. A play that stays in the list keeps its row, so a focused row keeps the focus.
 * @param {HTMLElement} list
 * @param {{ titleOf: (id: string) => string | undefined, onOpen: (play: Play) => void }} deps
 */
export function createPlayList(list, { titleOf, onOpen }) {
  /** @type {Map<string, import('./play-row.js').PlayRow>} */
  let rows = new Map()

  return {
    /**
     * @param {Play[]} plays
     * @param {(play: Play) => import('./fates.js').Fate} fateOf
     */
    show(plays, fateOf) {
      const toRow = (/** @type {Play} */ play) => {
        const existing = rows.get(keyOf(play))
        existing?.update()
        return existing ?? createPlayRow(play, { titleOf, fateOf: () => fateOf(play), onOpen: () => onOpen(play) })
      }
      rows = new Map(plays.map((play) => [keyOf(play), toRow(play)]))
      const roots = [...rows.values()].map(({ root }) => root)
      setChildren(list, roots)
    },
    /** @param {Play} play */
    update: (play) => rows.get(keyOf(play))?.update(),
    /** Discards all rows before a different list is shown. */
    reset() {
      rows = new Map()
    },
  }
}

/** @param {Pick<Play, 'traceId' | 'at'>} play */
export function keyOf({ traceId, at }) {
  return `${traceId} ${at}`
}
