import type { Context } from 'hono'

const texts = new WeakMap<object, string>()

/** Responds with a value that many requests share. The value is serialized only once, so it must not change later. */
export function sharedJson(c: Context, value: object) {
  const text = texts.get(value) ?? JSON.stringify(value)
  texts.set(value, text)
  return c.body(text, 200, { 'content-type': 'application/json' })
}
