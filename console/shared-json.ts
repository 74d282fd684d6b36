import type { Context } from 'hono'

const texts = new WeakMap<object, string>()

/** Responds with a value that many requests share. It is serialized once, so it must not change afterwards. */
export function sharedJson(c: Context, value: object) {
  const text = texts.get(value) ?? JSON.stringify(value)
  texts.set(value, text)
  return c.body(text, 200, { 'content-type': 'application/json' })
}
