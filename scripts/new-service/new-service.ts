export type Kind = 'catalogue' | 'empty'

/** A service to add, and its names in the code. */
export type NewService = {
  kind: Kind
  /** The name in kebab case, such as `video-tags`. */
  name: string
  port: number
  /** The name in camel case, such as `videoTags`. */
  identifier: string
  /** The prefix of its type names, such as `VideoTags`. */
  type: string
  /** The setting for its URLs, such as `VIDEO_TAGS_URL`. */
  urlSetting: string
}

export function createNewService({ kind, name, port }: Pick<NewService, 'kind' | 'name' | 'port'>): NewService {
  const identifier = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
  return {
    kind,
    name,
    port,
    identifier,
    type: identifier.charAt(0).toUpperCase() + identifier.slice(1),
    urlSetting: toUrlSetting(name),
  }
}

function toUrlSetting(name: string): string {
  return `${name.replaceAll('-', '_').toUpperCase()}_URL`
}
