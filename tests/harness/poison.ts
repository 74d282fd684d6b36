/** Comparing the length of this value with a limit throws a TypeError. */
const INCOMPARABLE = { length: { toString: 0, valueOf: 0 } }

/**
 * Random messages for the log. Most are invalid, some are almost valid, and a few are valid views of the user `other`.
 */
export function createPoison(random: () => number) {
  const below = (limit: number) => Math.floor(random() * limit)
  const pick = <Item>(items: readonly Item[]) => items[below(items.length)] as Item
  const randomBytes = (max: number) => Buffer.from(Array.from({ length: below(max) }, () => below(256)))

  function randomBody(): Buffer {
    return pick([
      () => randomBytes(500),
      () => Buffer.alloc(below(20_000), pick([0, 0x5b, 0x22, 0xff])),
      () => Buffer.from(JSON.stringify(randomEvent())),
      () => Buffer.from(JSON.stringify(Array.from({ length: below(20) }, randomEvent))),
      () => {
        const bytes = Buffer.from(JSON.stringify([randomEvent()]))
        bytes[below(bytes.length)] = below(256)
        return bytes
      },
    ])()
  }

  function randomEvent(): object {
    const odd = () => pick([null, 8, '', 'x'.repeat(300), '\u0000', '../..', {}, [], '🎬', '2026-11-20', INCOMPARABLE])
    const mostly = (value: unknown) => (below(10) > 0 ? value : odd())
    return {
      specversion: mostly('1.0'),
      id: mostly(`poison-${below(1_000_000)}`),
      source: mostly('/poison'),
      type: mostly('video.viewed'),
      serial: pick([undefined, undefined, String(below(1_000)), odd()]),
      time: pick([undefined, '2026-11-20T21:00:00Z', `2026-11-20T21:00:00.${'0'.repeat(below(10_000))}Z`, odd()]),
      traceparent: pick([undefined, `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, odd()]),
      tracestate: pick([undefined, 'x'.repeat(below(20_000)), '\n']),
      data: mostly({ assetId: mostly('other'), userId: mostly('other') }),
    }
  }

  function randomHeaders(): Buffer | undefined {
    return pick([
      () => undefined,
      () => randomBytes(200),
      () => Buffer.from(`a: ${'x'.repeat(below(60_000))}`),
      () => Buffer.from('a b: c\nd'),
      () =>
        Buffer.from(
          `Rejected-Sequence: ${pick(['9999999999', '-1', 'NaN', '1'])}\r\nNats-Msg-Id: dead-letter-${below(100)}`,
        ),
    ])()
  }

  return { pick, randomBody, randomHeaders }
}
