import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

const MEDIA = 'deploy/cdn/media'
const MAX_BYTES = 2_000_000

const films = readFileSync('scripts/catalogue.jsonl', 'utf8').trim().split('\n')
const urls = [...new Set(films.map((film): string => JSON.parse(film).url))]

test('the films in the demo catalogue share at least three clips', () => {
  expect(urls.length).toBeGreaterThanOrEqual(3)
})

test.each(urls)('%s has two renditions and captions, and all files that its playlists reference exist', (url) => {
  const playlist = join(MEDIA, url)
  const text = readFileSync(playlist, 'utf8')
  expect(text.match(/^#EXT-X-STREAM-INF:.*SUBTITLES=/gm)).toHaveLength(2)
  const files = filesIn(playlist)
  const all = files.flatMap((file) => [file, ...(file.endsWith('.m3u8') ? filesIn(file) : [])])
  expect(all.filter((file) => file.endsWith('.m4s'))).toHaveLength(8)
  expect(all.filter((file) => file.endsWith('.vtt'))).toHaveLength(1)
  for (const file of [...all, `${join(MEDIA, dirname(url))}.mp4`]) expect(statSync(file).size).toBeGreaterThan(0)
})

test('the media files take up less than 2 MB in total', () => {
  const files = readdirSync(MEDIA, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const bytes = files.map(({ parentPath, name }) => statSync(join(parentPath, name)).size)
  expect(bytes.reduce((sum, size) => sum + size)).toBeLessThan(MAX_BYTES)
})

/** The files that a playlist references, with its relative paths resolved. */
function filesIn(playlist: string): string[] {
  const text = readFileSync(playlist, 'utf8')
  const attributes = [...text.matchAll(/URI="([^"]+)"/g)].map(([, path]) => String(path))
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return [...attributes, ...lines].map((path) => join(dirname(playlist), path))
}
