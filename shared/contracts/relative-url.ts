/** A relative URL, split at its query and fragment (RFC 3986, section 4.2). */
type RelativeUrl = { path: string; query: string; fragment: string }

export function splitRelativeUrl(url: string): RelativeUrl {
  const [, path = '', query = '', fragment = ''] = /^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(url) ?? []
  return { path, query, fragment }
}

/**
 * Returns true if every segment is a plain file or directory name, both as written and after percent-decoding: none is
 * empty, `.` or `..`, and none contains a slash, a backslash or a control character. One leading slash is allowed.
 */
export function hasPlainSegments(path: string): boolean {
  return path.replace(/^\//, '').split('/').every(isPlain)
}

function isPlain(segment: string): boolean {
  const decoded = segment.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern must match control characters
  return !/^\.{0,2}$|[/\\\x00-\x1f\x7f]/.test(decoded)
}
