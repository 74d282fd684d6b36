import fc from 'fast-check'
import { expect, test } from 'vitest'
import { normalize, toCdnPath } from './cdn-path.ts'

test.each([
  ['path/to/asset456.mp4', 'path/to/asset456.mp4'],
  ['a b.mp4', 'a%20b.mp4'],
  ['Häxan/映画/😀.mp4', 'H%C3%A4xan/%E6%98%A0%E7%94%BB/%F0%9F%98%80.mp4'],
  ['H%c3%a4xan.mp4', 'H%C3%A4xan.mp4'],
  ['100%.mp4', '100%25.mp4'],
  ['100%25.mp4', '100%25.mp4'],
  ['%zz%2.mp4', '%25zz%252.mp4'],
  ['%41%7e%2D%5f%2e.mp4', 'A~-_..mp4'],
  ['what%3F%23.mp4', 'what%3F%23.mp4'],
  ["!$&'()*+,;=:@.mp4", "!$&'()*+,;=:@.mp4"],
  ['%21%2B%40.mp4', '%21%2B%40.mp4'],
  ['"<>[]^`{|}.mp4', '%22%3C%3E%5B%5D%5E%60%7B%7C%7D.mp4'],
  ['a%FF.mp4', 'a%FF.mp4'],
  ['a\ud800.mp4', 'a%EF%BF%BD.mp4'],
])('the path of %s is %s', (url, path) => {
  expect(toCdnPath(url)).toEqual({ path, query: '', fragment: '' })
  expect(new URL(path, 'http://cdn/x/').pathname).toBe(`/x/${path}`)
})

test('the path, the query and the fragment are returned separately', () => {
  expect(toCdnPath('/a/b.mp4?x=1?#t=10?#')).toEqual({ path: 'a/b.mp4', query: '?x=1?', fragment: '#t=10?#' })
})

test('normalizing a path is idempotent', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(normalize(normalize(text))).toBe(normalize(text))
    }),
  )
})
