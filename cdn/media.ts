import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { Readable } from 'node:stream'

export type Media = {
  size: number
  etag: string
  /** When the file was last modified, as an HTTP date. */
  modified: string
  type: string
  /** Reads the bytes from `start` to `end`, inclusive. */
  read(start: number, end: number): ReadableStream
}

/** Must match the media types in deploy/cdn/nginx.conf. */
const TYPES: Record<string, string> = {
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.m3u8': 'application/vnd.apple.mpegurl; charset=utf-8',
  '.m4a': 'audio/mp4',
  '.m4s': 'video/iso.segment',
  '.m4v': 'video/mp4',
  '.mp4': 'video/mp4',
  '.mpd': 'application/dash+xml',
  '.png': 'image/png',
  '.ts': 'video/mp2t',
  '.vtt': 'text/vtt; charset=utf-8',
  '.webm': 'video/webm',
}

/**
 * Finds the file at a percent-encoded path. The caller must have validated the path's segments.
 * @returns undefined if there is no such file
 */
export async function findMedia(root: string, path: string): Promise<Media | undefined> {
  try {
    const file = join(root, decodeURIComponent(path))
    const found = await stat(file)
    if (!found.isFile()) return undefined
    const { size, mtimeMs, mtime } = found
    return {
      size,
      // The etag and the date equal those that nginx sends, so that a client can switch between edges.
      etag: `"${Math.floor(mtimeMs / 1_000).toString(16)}-${size.toString(16)}"`,
      modified: mtime.toUTCString(),
      type: TYPES[extname(file).toLowerCase()] ?? 'application/octet-stream',
      read: (start, end) => Readable.toWeb(createReadStream(file, { start, end })),
    }
  } catch {
    return undefined
  }
}
